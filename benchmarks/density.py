"""Up to which density of the latents sparse products, a screen and lists are faster.

python -m benchmarks.density                 latent_dim 4096, batch 1024, d_in 384, bf16
python -m benchmarks.density --dtype float32

One gradient of the standard SAE on random activations, the encoder's bias set so that the stated
part of the latents is on: with all products dense; with those after the encoder's sparse; with
latents screened before they are computed, or listed by the encoder's product, too, where the
processor gains by it; and by torch's own operations. The least of many runs in milliseconds, in
turns; writes results/density_<dtype>.md (density_bfloat16_matrix_units.md where there are those).
"""

import argparse
import sys
import time
from collections.abc import Sequence

import torch

import sae.architectures.compiled as compiled
import sae.architectures.listed as listed
import sae.architectures.screened as screened
from benchmarks.markdown import table, write_result
from sae.architectures.base import StepSettings
from sae.architectures.config import SaeConfig
from sae.architectures.standard import StandardSae
from sae.kernels.matrix_units import has_matrix_units
from sae.kernels.tiles import has_tiles
from sae.workspace import Workspace

DENSITIES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3)
SETTINGS = StepSettings(alpha=1.0)
WAYS = {
    "dense": (0.0, 0.0, 0.0),
    "sparse": (1.0, 0.0, 0.0),
    "screened": (1.0, 1.0, 0.0),
    "listed": (1.0, 0.0, 1.0),
    "torch": None,
}
"""Densities below which products are sparse, latents screened, and latents listed; None: torch's
operations."""


def main() -> int:
    """Prints and writes the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latent-dim", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--d-in", type=int, default=384)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args(sys.argv[1:])
    ways = _ways(options.dtype)
    rows = [_row(options, ways, density) for density in DENSITIES]
    body = (
        f"{torch.get_num_threads()} threads, latent_dim {options.latent_dim}, "
        f"batch {options.batch_size}, d_in {options.d_in}.\n\n"
        + table(["on", *(f"{way} ms" for way in ways)], rows)
    )
    suffix = "_matrix_units" if "listed" in ways else ""
    name = f"density_{options.dtype}{suffix}"
    path = write_result(name, "Dense and sparse gradients", body)
    print(f"{body}\n\nwritten to {path}")
    return 0


def _ways(dtype: str) -> list[str]:
    """Those that this processor gains by."""
    left_out = {
        "screened": dtype != "float32" or not has_tiles(),
        "listed": dtype != "bfloat16" or not has_matrix_units(),
    }
    return [way for way in WAYS if not left_out.get(way)]


def _row(options: argparse.Namespace, ways: Sequence[str], density: float) -> list[str]:
    dtype: torch.dtype = getattr(torch, options.dtype)
    random = torch.Generator().manual_seed(0)
    config = SaeConfig(latent_dim=options.latent_dim, decoder_init_norm=1.0)
    model = StandardSae(config, options.d_in, random, Workspace(dtype, torch.device("cpu")))
    x_BD = torch.randn(options.batch_size, options.d_in, generator=random)
    # Rows of norm one and standard normal activations: pre-activations are standard normal.
    model.parameters["b_enc"] += torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(density))

    least = dict.fromkeys(ways, float("inf"))
    for _ in range(options.repeats):
        for way in ways:
            least[way] = min(least[way], _seconds(model, x_BD, WAYS[way]))
    return [f"{density:.1%}", *(f"{1000 * seconds:.1f}" for seconds in least.values())]


def _seconds(
    model: StandardSae, x_BD: torch.Tensor, below: tuple[float, float, float] | None
) -> float:
    gradients = model.plain_gradients
    if below is not None:
        compiled.SPARSE_BELOW[model.workspace.dtype], screened.BELOW, listed.BELOW = below
        gradients = model.compute_gradients
    started = time.perf_counter()
    gradients(x_BD, SETTINGS)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
