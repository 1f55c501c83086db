"""The training step on a GPU: right, and how near to what the device can do.

python -m benchmarks.gpu                       needs CUDA; exit status 2 without
python -m benchmarks.gpu --device cpu --small  runs everything, and says nothing about a GPU

Needs torch, numpy, safetensors and this package. Checks every architecture's gradients against
float64 autograd on the device; measures the device's copy bandwidth and bf16 product rate itself;
times the founding guide's 65k setting against the bound by memory traffic and against SAELens's
step (`benchmarks.saelens_step`), and batch 4096 against the product rate. On CUDA writes
benchmarks/results/gpu.md; exit status 1 where a check or a goal is missed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median

import torch
from torch import Tensor

from benchmarks.markdown import table, write_result
from benchmarks.process_memory import process_bytes
from benchmarks.reference_losses import reference_gradients
from benchmarks.saelens_step import SaeLensStep
from sae.activations import ActivationsConfig, ActivationStore, open_activations
from sae.activations.config import ActivationSource, SyntheticConfig
from sae.architectures.base import StepSettings
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.dead_latents import DeadLatentsConfig
from sae.device_batches import batches_on
from sae.run_state import RunState
from sae.trainer_config import Precision, TrainerConfig
from sae.training import TrainingRequest
from sae.workspace import Workspace

LARGEST_ERROR = {torch.float32: 1e-4, torch.bfloat16: 0.25}
"""Of a gradient, relative; in bf16 a rounded strength may change what topk selects."""
FEWEST_BYTES = 32
"""A weight and step, with float32 moments: Adam reads weight, gradient and two moments, writes
three of them, and the gradient is written once."""
PRODUCTS = 5
"""Matrix products of a step, each of 2 batch d_in latent_dim operations."""
GOALS = {"bandwidth": 0.7, "SAELens": 3.0, "matrix rate": 0.5}


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How large everything is."""

    latent_dim: int = 65536
    d_in: int = 2048
    batches: tuple[int, int] = (64, 4096)
    steps: int = 30
    copied_bytes: int = 2**30
    product: int = 8192


SMALL = Size(latent_dim=256, d_in=32, batches=(16, 64), steps=3, copied_bytes=2**22, product=128)


def main(arguments: list[str] | None = None) -> int:
    """Checks, measures, reports; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="tiny sizes")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("--device must be cpu where there is no CUDA device, but got cuda.", file=sys.stderr)
        return 2
    device, size = torch.device(options.device), SMALL if options.small else Size()
    errors, is_right = exactness(device)
    bandwidth, rate = copy_bandwidth(device, size), product_rate(device, size)
    times, met = _against_the_bounds(device, size, bandwidth, rate)
    packed = "sae.train_pack: " + ("not timed here." if find_spec("sae.train_pack") else "absent.")
    ceilings = (
        f"Measured ceilings: copy {bandwidth / 1e9:,.1f} GB/s (read plus written), bf16 product "
        f"{rate / 1e12:,.2f} TFLOP/s."
    )
    text = "\n\n".join([_title(device), errors, ceilings, times, packed])
    print(text)
    if device.type == "cuda" and not options.small:
        print(f"written to {write_result('gpu', 'Training step on a GPU', text)}")
        return 0 if is_right and met else 1
    return 0 if is_right else 1


def _title(device: torch.device) -> str:
    if device.type == "cuda":
        return f"On {torch.cuda.get_device_name(device)}."
    return "On the CPU: these are not GPU numbers."


def exactness(device: torch.device) -> tuple[str, bool]:
    """Every architecture's gradients against float64; a table, and whether all are right."""
    rows: list[list[str]] = []
    is_right = True
    for architecture in Architecture:
        for dtype, largest in LARGEST_ERROR.items():
            error = gradient_error(architecture, dtype, device)
            is_right = is_right and error <= largest
            rows.append(
                [architecture, str(dtype).removeprefix("torch."), f"{error:.1e}", f"{largest}"]
            )
    return table(["architecture", "products", "worst gradient error", "at most"], rows), is_right


def gradient_error(architecture: Architecture, dtype: torch.dtype, device: torch.device) -> float:
    """Largest relative distance of a parameter's gradient from float64 autograd's."""
    config = SaeConfig(architecture=architecture, latent_dim=256)
    generator = torch.Generator().manual_seed(0)
    model = build(config, 64, generator, Workspace(dtype, device))
    for name, value in model.parameters.items():
        noise = torch.randn(value.shape, generator=generator).to(device)
        value += (0.1 if name.startswith("W") else 0.05) * noise
    model.after_update()
    x_BD = torch.randn(128, 64, generator=generator).to(device)
    alpha = 0.0 if architecture.sets_l0 else 0.7
    expected = reference_gradients(config, model.parameters, x_BD, alpha, 8.0)
    model.compute_gradients(x_BD, StepSettings(alpha=alpha, target_l0=8.0))
    return max(
        float((model.gradients[name].double() - value).norm() / value.norm())
        for name, value in expected.items()
        # A straight-through estimate counts latents in a narrow band, which bf16 blurs.
        if name != "threshold" or dtype is torch.float32
    )


def copy_bandwidth(device: torch.device, size: Size) -> float:
    """Bytes read and written a second by a copy."""
    source = torch.zeros(size.copied_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size.copied_bytes / seconds(lambda: target.copy_(source), device, 10)


def product_rate(device: torch.device, size: Size) -> float:
    """Operations a second of a large square bf16 product."""
    n = size.product
    left, right = (torch.randn(n, n, device=device).bfloat16() for _ in range(2))
    out = torch.empty_like(left)
    return 2 * n**3 / seconds(lambda: torch.mm(left, right, out=out), device, 10)


def seconds(act: Callable[[], object], device: torch.device, times: int) -> float:
    """Median time of a call, after three that are not counted."""
    taken: list[float] = []
    for number in range(times + 3):
        _wait(device)
        started = time.perf_counter()
        act()
        _wait(device)
        if number >= 3:
            taken.append(time.perf_counter() - started)
    return median(taken)


def pace(step: Callable[[], object], device: torch.device, steps: int) -> float:
    """Mean time of a step where nothing waits between steps, after five that are not counted."""
    for _ in range(5):
        step()
    _wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - started) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _against_the_bounds(
    device: torch.device, size: Size, bandwidth: float, rate: float
) -> tuple[str, bool]:
    store = _store(size)
    fewest = FEWEST_BYTES * 2 * size.d_in * size.latent_dim
    rows: list[list[str]] = []
    met = True
    for batch, is_guide in zip(size.batches, (True, False), strict=True):
        operations = PRODUCTS * 2 * batch * size.d_in * size.latent_dim
        found = {
            "plain": ours(store, size, batch, device, graph=False),
            "CUDA graph": ours(store, size, batch, device, graph=True),
            "SAELens, autocast": peer(store, size, batch, device),
        }
        best = min(found["plain"][0], found["CUDA graph"][0])
        for name, (taken, peak) in found.items():
            ratio = found["SAELens, autocast"][0] / taken
            shares = fewest / taken / bandwidth, operations / taken / rate, ratio
            numbers = [f"{taken * 1e3:.2f}", *(f"{share:.2f}" for share in shares)]
            rows.append([str(batch), name, *numbers, f"{peak / 2**20:,.0f}"])
        if is_guide:
            met = met and fewest / best / bandwidth >= GOALS["bandwidth"]
            met = met and found["SAELens, autocast"][0] / best >= GOALS["SAELens"]
        else:
            met = met and operations / best / rate >= GOALS["matrix rate"]
    header = ["batch", "step", "ms", "of bandwidth", "of product rate", "times SAELens", "MiB"]
    text = (
        f"Standard SAE, latent_dim {size.latent_dim}, d_in {size.d_in}, {size.steps} steps. At "
        f"least {fewest / 1e9:.2f} GB a step with float32 moments; {PRODUCTS} products of 2 "
        "batch d_in latent_dim operations executed. Goals: 0.7 of the bandwidth and 3 times "
        f"SAELens at batch {size.batches[0]}, 0.5 of the product rate at batch "
        f"{size.batches[1]}. MiB is the peak of the device's memory (of the process, on the CPU)."
    )
    return f"{text}\n\n{table(header, rows)}", met


def _store(size: Size) -> ActivationStore:
    synthetic = SyntheticConfig(
        d_in=size.d_in,
        n_features=2 * size.d_in,
        active_features=8,
        n_tokens=4 * size.batches[1],
        held_out_tokens=64,
    )
    return open_activations(
        ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic)
    )


def ours(
    store: ActivationStore, size: Size, batch: int, device: torch.device, *, graph: bool
) -> tuple[float, int]:
    """Seconds of our step, batches included, and the peak of memory in bytes."""
    _forget_peak(device)
    trainer = TrainerConfig(
        batch_size=batch,
        total_steps=100_000,
        precision=Precision.bf16,
        cuda_graph=graph,
        dead_latents=DeadLatentsConfig(auxk_coefficient=0.0, pre_activation=0.0),
    )
    request = TrainingRequest(
        sae=SaeConfig(latent_dim=size.latent_dim), trainer=trainer, alpha_canonical=1.0
    )
    state = RunState(request, store, device)
    batches = batches_on(device, store.train_batches(batch, 0))
    return pace(lambda: state.take_step(next(batches), check=False), device, size.steps), _peak(
        device
    )


def peer(
    store: ActivationStore, size: Size, batch: int, device: torch.device
) -> tuple[float, int]:
    """As `ours`, of SAELens's step under autocast, its batches on the device before."""
    _forget_peak(device)
    space = Workspace(torch.float32, device)
    model = build(
        SaeConfig(latent_dim=size.latent_dim), size.d_in, torch.Generator().manual_seed(0), space
    )
    step = SaeLensStep(model.parameters, 1.0, 1e-3, autocast=True)
    del model
    batches = store.train_batches(batch, 0)
    on_device = _round_and_round([next(batches).to(device) for _ in range(4)])
    return pace(lambda: step(next(on_device)), device, size.steps), _peak(device)


def _round_and_round(batches: list[Tensor]) -> Iterator[Tensor]:
    while True:
        yield from batches


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_bytes("VmHWM")


if __name__ == "__main__":
    sys.exit(main())
