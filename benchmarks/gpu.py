"""The training step on a GPU: right, and how near to what the device can do.

python -m benchmarks.gpu                       needs CUDA; exit status 2 without
python -m benchmarks.gpu --device cpu --small  runs everything, and says nothing about a GPU

Needs torch, numpy, safetensors and this package. Checks every architecture's gradients against
float64 autograd on the device; measures the device's copy bandwidth and bf16 product rate itself;
times the founding guide's 65k setting against the bound by memory traffic and against SAELens's
step (`benchmarks.saelens_step`), and batch 4096 against the product rate. On CUDA writes
benchmarks/results/gpu_<the device's name>.md; exit status 1 where a check or a goal is missed.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu_cases import FEWEST_BYTES, FULL, PRODUCTS, SMALL, Case, Size
from benchmarks.gpu_clock import (
    copy_bandwidth,
    forget_peak,
    no_waiting,
    pace,
    peak_bytes,
    product_rate,
)
from benchmarks.gpu_exactness import exactness
from benchmarks.gpu_feeding import feeding
from benchmarks.gpu_profile import profiles
from benchmarks.gpu_steps import STAGED, STEPS_UNTIL_REVIVED, new_state, staged, step
from benchmarks.markdown import table, write_result
from benchmarks.saelens_step import SaeLensStep
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.batch_stream import BatchStream
from sae.cost import FLOAT, memory_cost
from sae.workspace import Workspace

FORESEEN_WITHIN = 0.2


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
    fed = feeding([size.cases[-2], size.cases[-1]], device)
    print(f"{fed}\n", flush=True)
    kernels = profiles(device, size)
    print(kernels)
    if device.type == "cuda" and not options.small:
        text = "\n\n".join([_title(device), errors, ceilings, times, memory, fed, kernels])
        print(f"written to {write_result(_file(device), 'Training step on a GPU', text)}")
        return 0 if is_right and met and is_foreseen else 1
    return 0 if is_right else 1


def _title(device: torch.device) -> str:
    if device.type == "cuda":
        return f"On {torch.cuda.get_device_name(device)}."
    return "On the CPU: these are not GPU numbers."


def _file(device: torch.device) -> str:
    return "gpu_" + re.sub(r"\W+", "_", torch.cuda.get_device_name(device).lower())


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
            rows.append([case.shape, name, *numbers, f"{peak / 2**20:,.0f}"])
        met = met and case.fewest_bytes / fastest / bandwidth >= case.bandwidth
        met = met and case.operations / fastest / rate >= case.matrix_rate
        met = met and saelens / fastest >= case.saelens
    header = ["shape", "step", "ms", "of bandwidth", "of product rate", "times SAELens", "MiB"]
    text = (
        f"Standard SAE, shapes latent_dim x d_in, batch; {size.steps} steps, batches on the device"
        " before unless they are fed; where it revives, a 16th of the latents is dead. Bandwidth "
        f"is for {FEWEST_BYTES} bytes a weight, which Adam "
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
            goals.append(f"{' and '.join(named)} at {case.shape}")
    return "; ".join(goals) or "none"


Found = dict[str, tuple[float, int]]
"""Seconds of a step and the peak of memory in bytes, by what was measured."""


def ours(case: Case, steps: int, device: torch.device) -> Found:
    """Our step without and with CUDA graphs, the latter also fed its batches; both reviving."""
    store, batch = case.store(), case.batch
    fed = BatchStream(store=store, batch_size=batch, seed=0, device=device).batches(0)
    found: Found = {}
    for graph in (False, True) if device.type == "cuda" else (False,):
        forget_peak(device)
        state = new_state(store, case.sae, batch, device, graph=graph)
        on_device = staged(store, batch, device)
        with no_waiting(device):
            taken = pace(partial(step, state, on_device), device, steps)
        found["ours, CUDA graph" if graph else "ours"] = taken, peak_bytes(device)
        if graph or device.type == "cpu":
            taken = pace(partial(step, state, fed), device, steps)
            found["ours, CUDA graph, fed" if graph else "ours, fed"] = taken, peak_bytes(device)
        del state
        forget_peak(device)
        state = new_state(store, case.sae, batch, device, graph=graph, dead=True)
        taken = pace(partial(step, state, on_device), device, steps, first=STEPS_UNTIL_REVIVED)
        name = "ours, CUDA graph, reviving" if graph else "ours, reviving"
        found[name] = taken, peak_bytes(device)
        del state
    return found


def peers(case: Case, steps: int, device: torch.device) -> Found:
    """As `ours`, of SAELens's step, with and without its switch for bf16 products."""
    found: Found = {}
    space = Workspace(torch.float32, device)
    random = torch.Generator().manual_seed(0)
    start = build(case.sae, case.d_in, random, space).parameters
    for autocast in (True, False):
        forget_peak(device)
        peer = SaeLensStep(start, 1.0, 1e-3, autocast=autocast)
        on_device = staged(case.store(), case.batch, device)
        taken = pace(partial(_peer_step, peer, on_device), device, max(1, steps // 3))
        found["SAELens, autocast" if autocast else "SAELens"] = taken, peak_bytes(device)
        del peer
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
        forget_peak(device)
        state = new_state(store, sae, batch, device, graph=device.type == "cuda")
        on_device = staged(store, batch, device)
        taken = pace(partial(step, state, on_device), device, max(1, size.steps // 3))
        peak = peak_bytes(device) - STAGED * batch * case.d_in * FLOAT
        cost = memory_cost(sae, case.d_in, batch, torch.bfloat16, on_gpu=device.type == "cuda")
        foreseen = cost.while_training
        met = met and abs(foreseen / peak - 1) <= FORESEEN_WITHIN
        numbers = f"{taken * 1e3:.2f}", f"{peak / 2**20:,.0f}", f"{foreseen / 2**20:,.0f}"
        rows.append([architecture, *numbers, f"{foreseen / peak:.2f}"])
        del state
    header = ["architecture", "ms", "MiB", "foreseen, MiB", "foreseen / measured"]
    text = (
        f"Every architecture at latent_dim {case.latent_dim // 4}, d_in {case.d_in}, batch "
        f"{batch}, as in training: with CUDA graphs where there is CUDA. MiB without the "
        "benchmark's own batches; foreseen by what `sweep.dry_run` uses (goal: within 20 %)."
    )
    return f"{text}\n\n{table(header, rows)}", met


if __name__ == "__main__":
    sys.exit(main())
