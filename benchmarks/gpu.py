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
import gc
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from statistics import median
from typing import Any

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
from sae.batch_stream import BatchStream
from sae.cost import memory_cost
from sae.dead_latents import DeadLatentsConfig
from sae.deferred_gradient import Written
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
FORESEEN_WITHIN = 0.2
PROFILED_STEPS = 10
SHOWN_KERNELS = 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How large everything is."""

    cases: "tuple[Case, ...]"
    steps: int = 30
    copied_bytes: int = 2**30
    product: int = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """The shapes of a step."""

    latent_dim: int
    d_in: int
    batch: int
    bandwidth: float = 0.0
    """Goals: least share of the bandwidth,"""
    saelens: float = 0.0
    """times SAELens's step,"""
    matrix_rate: float = 0.0
    """and share of the product rate."""

    @property
    def sae(self) -> SaeConfig:
        """The standard SAE of that width."""
        return SaeConfig(latent_dim=self.latent_dim)

    @property
    def fewest_bytes(self) -> int:
        """Of a step, by `FEWEST_BYTES`."""
        return FEWEST_BYTES * 2 * self.d_in * self.latent_dim

    @property
    def operations(self) -> int:
        """Of a step's products."""
        return PRODUCTS * 2 * self.batch * self.d_in * self.latent_dim

    def store(self) -> ActivationStore:
        """Activations of that width."""
        synthetic = SyntheticConfig(
            d_in=self.d_in,
            n_features=2 * self.d_in,
            active_features=8,
            n_tokens=4 * self.batch,
            held_out_tokens=64,
        )
        return open_activations(
            ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic)
        )


GUIDE = Case(latent_dim=65536, d_in=2048, batch=64, bandwidth=0.7, saelens=3.0)
LARGE = Case(latent_dim=65536, d_in=2048, batch=4096, matrix_rate=0.5)
USUAL = Case(latent_dim=24576, d_in=768, batch=4096)
"""32 times as wide as the activations of GPT-2 small, the batch as in SAELens's examples."""
FULL = Size(cases=(GUIDE, LARGE, USUAL))
SMALL = Size(
    cases=(Case(latent_dim=256, d_in=32, batch=16), Case(latent_dim=256, d_in=32, batch=64)),
    steps=3,
    copied_bytes=2**22,
    product=128,
)


def main(arguments: list[str] | None = None) -> int:
    """Checks, measures, reports; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="tiny sizes")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("--device must be cpu where there is no CUDA device, but got cuda.", file=sys.stderr)
        return 2
    device, size = torch.device(options.device), SMALL if options.small else FULL
    errors, is_right = exactness(device)
    print(f"{_title(device)}\n\n{errors}\n", flush=True)
    bandwidth, rate = copy_bandwidth(device, size), product_rate(device, size)
    ceilings = (
        f"Measured ceilings: copy {bandwidth / 1e9:,.1f} GB/s (read plus written), bf16 product "
        f"{rate / 1e12:,.2f} TFLOP/s."
    )
    times, met = _against_the_bounds(device, size, bandwidth, rate)
    print(f"{ceilings}\n\n{times}\n", flush=True)
    memory, is_foreseen = _architectures(device, size)
    print(f"{memory}\n", flush=True)
    profiles = _profiles(device, size)
    print(profiles)
    if device.type == "cuda" and not options.small:
        text = "\n\n".join([_title(device), errors, ceilings, times, memory, profiles])
        print(f"written to {write_result('gpu', 'Training step on a GPU', text)}")
        return 0 if is_right and met and is_foreseen else 1
    return 0 if is_right else 1


def _title(device: torch.device) -> str:
    if device.type == "cuda":
        return f"On {torch.cuda.get_device_name(device)}."
    return "On the CPU: these are not GPU numbers."


def exactness(device: torch.device) -> tuple[str, bool]:
    """Every architecture's gradients against float64; a table, and whether all are right."""
    rows: list[list[str]] = []
    is_right = True
    kinds = list(Written) if Workspace(torch.bfloat16, device).fused else [Written.gradients]
    for architecture in Architecture:
        for dtype, largest in LARGEST_ERROR.items():
            for writes in kinds:
                error = gradient_error(architecture, dtype, device, writes)
                is_right = is_right and error <= largest
                name = str(dtype).removeprefix("torch.")
                rows.append([architecture, name, writes.name, f"{error:.1e}", f"{largest}"])
    header = ["architecture", "products", "written", "worst error", "at most"]
    return table(header, rows), is_right


def gradient_error(
    architecture: Architecture,
    dtype: torch.dtype,
    device: torch.device,
    writes: Written = Written.gradients,
) -> float:
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
    model.writes = writes
    model.compute_gradients(x_BD, StepSettings(alpha=alpha, target_l0=8.0))
    found = dict(model.gradients)
    for name, parts in model.deferred.items():
        is_decoder = name == "W_dec"
        rows_FD = parts.value(model.parameters["W_dec"])
        found[name] = rows_FD if is_decoder else rows_FD.t()
        if is_decoder:
            difference = parts.squared_norm() / rows_FD.double().square().sum() - 1
            assert abs(float(difference)) < 1e-3, f"norm of {name} off by {float(difference)}"
    return max(
        float((found[name].double() - value).norm() / value.norm())
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
    rows: list[list[str]] = []
    met = True
    for case in size.cases:
        found = ours(case, size.steps, device) | peers(case, size.steps, device)
        saelens, fastest = found["SAELens, autocast"][0], found["ours"][0]
        for name, (taken, peak) in found.items():
            shares = (
                case.fewest_bytes / taken / bandwidth,
                case.operations / taken / rate,
                saelens / taken,
            )
            numbers = [f"{taken * 1e3:.2f}", *(f"{share:.2f}" for share in shares)]
            shape = f"{case.latent_dim} x {case.d_in}, {case.batch}"
            rows.append([shape, name, *numbers, f"{peak / 2**20:,.0f}"])
        met = met and case.fewest_bytes / fastest / bandwidth >= case.bandwidth
        met = met and case.operations / fastest / rate >= case.matrix_rate
        met = met and saelens / fastest >= case.saelens
    header = ["shape", "step", "ms", "of bandwidth", "of product rate", "times SAELens", "MiB"]
    text = (
        f"Standard SAE, shapes latent_dim x d_in, batch; {size.steps} steps, batches on the device"
        f" before unless they are fed. Bandwidth is for {FEWEST_BYTES} bytes a weight, which Adam "
        "with float32 moments needs over a gradient that is written; the product rate for "
        f"{PRODUCTS} products of 2 batch d_in latent_dim operations, all executed. Goals of "
        f"`ours`: {_goals(size)}. MiB is the peak of the device's memory (of the process, on the "
        "CPU)."
    )
    return f"{text}\n\n{table(header, rows)}", met


def _goals(size: Size) -> str:
    goals: list[str] = []
    for case in size.cases:
        asked = {
            "of the bandwidth": case.bandwidth,
            "times SAELens (autocast)": case.saelens,
            "of the product rate": case.matrix_rate,
        }
        named = [f"{goal:g} {name}" for name, goal in asked.items() if goal]
        if named:
            shape = f"{case.latent_dim} x {case.d_in}, {case.batch}"
            goals.append(f"{' and '.join(named)} at {shape}")
    return "; ".join(goals) or "none"


Found = dict[str, tuple[float, int]]
"""Seconds of a step and the peak of memory in bytes, by what was measured."""


def ours(case: Case, steps: int, device: torch.device) -> Found:
    """Our step, with and without a CUDA graph; the first also where batches are fed to it."""
    store, batch = case.store(), case.batch
    found: Found = {}
    for graph in (False, True):
        _forget_peak(device)
        state = _state(store, case.sae, batch, device, graph=graph)
        staged = _staged(store, batch, device)
        with _no_waiting(device):
            taken = pace(partial(_step, state, staged), device, steps)
        found["ours, CUDA graph" if graph else "ours"] = taken, _peak(device)
        if not graph:
            stream = BatchStream(store=store, batch_size=batch, seed=0, device=device).batches(0)
            taken = pace(partial(_step, state, stream), device, steps)
            found["ours, fed"] = taken, _peak(device)
        del state
    return found


def _state(
    store: ActivationStore,
    sae: SaeConfig,
    batch: int,
    device: torch.device,
    *,
    graph: bool = False,
) -> RunState:
    trainer = TrainerConfig(
        batch_size=batch,
        total_steps=100_000,
        precision=Precision.bf16,
        cuda_graph=graph,
        # In the first steps no latent is dead.
        dead_latents=DeadLatentsConfig(auxk_coefficient=0.0, pre_activation=0.0),
    )
    alpha = 0.0 if sae.architecture.sets_l0 else 1.0
    request = TrainingRequest(
        sae=sae, trainer=trainer, alpha_canonical=alpha, target_l0_count=sae.latent_dim / 512
    )
    return RunState(request, store, device)


def _step(state: RunState, batches: Iterator[Tensor]) -> None:
    state.take_step(next(batches), check=False)


@contextmanager
def _no_waiting(device: torch.device) -> Generator[None]:
    """Lets whatever makes the host wait for the device raise an error."""
    if device.type != "cuda":
        yield
        return
    _wait(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def peers(case: Case, steps: int, device: torch.device) -> Found:
    """As `ours`, of SAELens's step, with and without its switch for bf16 products."""
    found: Found = {}
    space = Workspace(torch.float32, device)
    random = torch.Generator().manual_seed(0)
    start = build(case.sae, case.d_in, random, space).parameters
    for autocast in (True, False):
        _forget_peak(device)
        step = SaeLensStep(start, 1.0, 1e-3, autocast=autocast)
        staged = _staged(case.store(), case.batch, device)
        taken = pace(partial(_peer_step, step, staged), device, max(1, steps // 3))
        found["SAELens, autocast" if autocast else "SAELens"] = taken, _peak(device)
        del step
    return found


def _peer_step(step: SaeLensStep, batches: Iterator[Tensor]) -> None:
    step(next(batches))


def _architectures(device: torch.device, size: Size) -> tuple[str, bool]:
    """Every architecture's step, and its memory beside what `sae.cost` foresees."""
    case = size.cases[1]
    store, batch = case.store(), case.batch
    rows: list[list[str]] = []
    met = True
    for architecture in Architecture:
        sae = SaeConfig(latent_dim=case.latent_dim // 4, architecture=architecture)
        _forget_peak(device)
        state = _state(store, sae, batch, device)
        staged = _staged(store, batch, device)
        taken = pace(partial(_step, state, staged), device, max(1, size.steps // 3))
        peak = _peak(device)
        cost = memory_cost(sae, case.d_in, batch, torch.bfloat16, on_gpu=device.type == "cuda")
        foreseen = cost.while_training
        met = met and abs(foreseen / peak - 1) <= FORESEEN_WITHIN
        numbers = f"{taken * 1e3:.2f}", f"{peak / 2**20:,.0f}", f"{foreseen / 2**20:,.0f}"
        rows.append([architecture, *numbers, f"{foreseen / peak:.2f}"])
        del state
    header = ["architecture", "ms", "MiB", "foreseen, MiB", "foreseen / measured"]
    text = (
        f"Every architecture at latent_dim {case.latent_dim // 4}, d_in {case.d_in}, batch "
        f"{batch}. Foreseen by what `sweep.dry_run` uses (goal: within 20 %)."
    )
    return f"{text}\n\n{table(header, rows)}", met


def _profiles(device: torch.device, size: Size) -> str:
    """Where the time of a step goes, by kernel."""
    kind = getattr(torch.profiler.ProfilerActivity, device.type.upper())
    time_of = attrgetter(f"self_{'device' if device.type == 'cuda' else 'cpu'}_time_total")
    texts: list[str] = []
    for case in size.cases:
        store = case.store()
        state = _state(store, case.sae, case.batch, device)
        staged = _staged(store, case.batch, device)
        for _ in range(5):
            _step(state, staged)
        with torch.profiler.profile(activities=[kind]) as seen:
            for _ in range(PROFILED_STEPS):
                _step(state, staged)
            _wait(device)
        events: list[Any] = sorted(seen.key_averages(), key=time_of, reverse=True)
        texts.append(
            _profile(case, [(event.key, event.count, time_of(event)) for event in events])
        )
        del state
    return "\n\n".join(texts)


def _profile(case: Case, events: list[tuple[str, int, float]]) -> str:
    """One table, from the names of kernels, their calls, and their microseconds together."""
    total = sum(taken for _, _, taken in events)
    rows = [
        [
            name[:60].replace("|", ""),
            f"{count / PROFILED_STEPS:.1f}",
            f"{taken / 1e3 / PROFILED_STEPS:.3f}",
            f"{taken / total:.2f}",
        ]
        for name, count, taken in events[:SHOWN_KERNELS]
    ]
    shape = f"{case.latent_dim} x {case.d_in}, {case.batch}"
    return (
        f"Where a step of {shape} goes, {total / 1e3 / PROFILED_STEPS:.2f} ms of kernels:\n\n"
        f"{table(['kernel', 'times a step', 'ms a step', 'of the step'], rows)}"
    )


def _staged(store: ActivationStore, batch: int, device: torch.device) -> Iterator[Tensor]:
    batches = store.train_batches(batch, 0)
    return _round_and_round([next(batches).to(device) for _ in range(4)])


def _round_and_round(batches: list[Tensor]) -> Iterator[Tensor]:
    while True:
        yield from batches


def _forget_peak(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_bytes("VmHWM")


if __name__ == "__main__":
    sys.exit(main())
