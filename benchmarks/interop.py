"""Do the real SAELens and dictionary_learning agree with us? `make interop` installs and asks.

python -m benchmarks.interop

What we write loads there and computes the same, and an alpha converted to their units gives our
L0.
`python -m benchmarks.quality` compares fvu at equal L0.

Exit status 1 where something disagrees, 2 where no library is installed.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks.demo import demo_store
from benchmarks.interop_alpha import check_alphas
from benchmarks.interop_files import check_files
from benchmarks.markdown import write_result
from benchmarks.peers import is_installed
from sae.activations import ActivationStore
from sae.trainer_config import TrainerConfig


def main() -> int:
    """Runs what was asked for; returns the exit status."""
    options = _options(sys.argv[1:])
    if not any(is_installed(library) for library in ("sae_lens", "dictionary_learning")):
        print("sae_lens or dictionary_learning must be installed, but neither is: make interop.")
        return 2
    started = time.monotonic()
    store = demo_store(options.layer)
    body, agrees = _agreement(store, options)
    body += f"\n\n{store.name}; {time.monotonic() - started:.0f} s in all."
    print(body)
    path = write_result("interop", "Agreement with the peers: files, and alphas.", body)
    print(f"\nwritten to {path}")
    return 0 if agrees else 1


def _agreement(store: ActivationStore, options: argparse.Namespace) -> tuple[str, bool]:
    """Agreement with the peers: files, and alphas."""
    files, files_agree = check_files(store, options.file_steps)
    recipe = TrainerConfig(total_steps=options.steps)
    latent_dim = options.latent_dim
    alphas, alphas_agree = check_alphas(store, options.alpha, latent_dim, recipe, seed=0)
    body = (
        f"## Files\n\nTrained for {options.file_steps} steps; largest relative difference of a "
        f"row.\n\n{files}\n\n## One alpha in everybody's units\n\nlatent_dim {latent_dim}, "
        f"{recipe.total_steps} steps of {recipe.batch_size}, learning rate "
        f"{recipe.learning_rate:g}, layer {options.layer}.\n\n{alphas}"
    )
    return body, files_agree and alphas_agree


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layer", type=int, default=3, help="of the demo's model")
    parser.add_argument("--latent-dim", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--file-steps", type=int, default=100, help="of the SAEs that are read")
    parser.add_argument("--alpha", type=float, default=2.5, help="to convert, canonical units")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
