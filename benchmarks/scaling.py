"""How a step's time and memory grow, and the largest SAE that fits.

python -m benchmarks.scaling                      about six minutes on two cores
python -m benchmarks.scaling --axes latent_dim

Each point is a process of its own: a standard SAE at its initial weights on synthetic activations
takes a first step as every run does, with half of its latents active; then its encoder's bias is
set so that as many are as L0 says, with a learning rate at which it stays so. Time is the median
of the steps that follow a warm-up; memory is what the process grew by, next to `sae.cost`, the
model that `sweep.dry_run` uses. Writes benchmarks/results/scaling.md and
docs/images/scaling_*.svg. Exit status 1 where a prediction is off by more than 20 %.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import torch

from analysis.report.axes import log_axis, log_limits
from analysis.report.svg import canvas, series
from benchmarks.markdown import table, write_result
from benchmarks.process_memory import process_bytes
from sae.activations import ActivationsConfig, ActivationStore, open_activations
from sae.activations.config import ActivationSource, SyntheticConfig
from sae.architectures.config import Architecture, SaeConfig
from sae.cost import largest_latent_dim, memory_cost
from sae.dead_latents import DeadLatentsConfig
from sae.files import write_atomically
from sae.kernels.launching import available
from sae.run_state import RunState, product_dtype
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest

LIMIT = 0.20
"""How far a prediction of memory may be off."""
STILL = 1e-12
"""A learning rate at which L0 stays what it was set to."""
WARM_STEPS, TIMED_SECONDS, FEWEST_STEPS, MOST_STEPS = 5, 3.0, 5, 200
IMAGES = Path(__file__).parent.parent / "docs" / "images"
CPU = torch.device("cpu")
GPU = "80 GB of a GPU"
MEMORIES = {"24 GiB of RAM": 24 * 2**30, GPU: 80 * 10**9}
DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """The shapes of one measurement."""

    latent_dim: int = 4096
    batch: int = 512
    d_in: int = 384
    l0: int = 32

    def at(self, axis: str, value: int) -> Self:
        """The same with one shape changed."""
        return replace(self, **{axis: value})


AXES = {
    "latent_dim": (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536),
    "batch": (64, 128, 256, 512, 1024, 2048, 4096, 8192),
    "d_in": (48, 96, 192, 384, 768, 1536, 3072, 4800),
    "l0": (4, 8, 16, 32, 64, 128, 256, 512),
}
"""Two orders of magnitude each, the others at `Point`'s defaults."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a step took."""

    milliseconds: float
    grown: int
    """Bytes that the process grew by."""
    predicted: int
    """Bytes, by `sae.cost`."""
    l0: float
    """Active latents per token, as it was."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures every point, or as a child one; returns the exit status."""
    asked = _options(arguments)
    if asked.child:
        print(json.dumps(asdict(_measure(Point(**json.loads(asked.child))))))
        return 0
    grown: dict[str, dict[int, Measured]] = {}
    for axis in asked.axes:
        grown[axis] = {}
        for value in AXES[axis]:
            found = _in_a_process(Point().at(axis, value))
            grown[axis][value] = found
            print(axis, *_row(value, found), flush=True)
    worst = max(abs(_error(found)) for line in grown.values() for found in line.values())
    if set(asked.axes) == set(AXES):
        _draw(grown, "time")
        _draw(grown, "memory")
    body = "\n\n".join((*(_section(axis, line) for axis, line in grown.items()), _largest(worst)))
    print(f"\n{body}\n\nwritten to {write_result('scaling', 'How a step grows', body)}")
    return int(worst > LIMIT)


def _in_a_process(point: Point) -> Measured:
    child = [sys.executable, "-m", "benchmarks.scaling", "--child", json.dumps(asdict(point))]
    ended = subprocess.run(child, capture_output=True, text=True, check=True)
    return Measured(**json.loads(ended.stdout))


def _measure(point: Point) -> Measured:
    store = _store(point)
    # A small run first, so that what the libraries keep for themselves is not counted.
    _take_steps(_state(replace(point, latent_dim=64, batch=64, l0=2), store), store, WARM_STEPS)
    before = process_bytes("VmRSS")
    state = _state(point, store)
    slowest = max(_take_steps(state, store, WARM_STEPS)[1:])
    steps = min(MOST_STEPS, max(FEWEST_STEPS, round(TIMED_SECONDS / slowest)))
    seconds = _take_steps(state, store, steps)
    peak = process_bytes("VmHWM")
    dtype = product_dtype(state.request.trainer.precision, CPU)
    return Measured(
        milliseconds=1000 * statistics.median(seconds),
        grown=peak - before,
        predicted=memory_cost(
            state.request.sae, point.d_in, point.batch, dtype, compiled=available(CPU)
        ).while_training,
        l0=state.trace.mean(state.step - steps, state.step)["l0"],
    )


def _store(point: Point) -> ActivationStore:
    tokens = max(4 * point.batch, 4096)
    synthetic = SyntheticConfig(d_in=point.d_in, n_tokens=tokens, held_out_tokens=1024)
    config = ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic)
    return open_activations(config)


def _state(point: Point, store: ActivationStore) -> RunState:
    """A run past its first, dense step, whose tokens have about `point.l0` active latents."""
    trainer = TrainerConfig(
        total_steps=1 + WARM_STEPS + MOST_STEPS,
        batch_size=point.batch,
        learning_rate=STILL,
        dead_latents=DeadLatentsConfig(auxk_coefficient=0, pre_activation=0),
    )
    sae = SaeConfig(architecture=Architecture.standard, latent_dim=point.latent_dim)
    request = TrainingRequest(sae=sae, trainer=trainer, alpha_canonical=1.0, device="cpu")
    state = RunState(request, store, CPU)
    _take_steps(state, store, 1)
    x_BD = next(store.train_batches(64, 0))
    z = (x_BD @ state.model.parameters["W_enc"]).flatten()
    place = max(1, round(z.numel() * (1 - point.l0 / point.latent_dim)))
    state.model.parameters["b_enc"].fill_(-float(z.kthvalue(place).values))
    return state


def _take_steps(state: RunState, store: ActivationStore, steps: int) -> list[float]:
    """Seconds of each step, the batch included."""
    seconds: list[float] = []
    batches = store.train_batches(state.request.trainer.batch_size, 0)
    for _ in range(steps):
        started = time.perf_counter()
        state.take_step(next(batches), check=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def _error(found: Measured) -> float:
    return found.predicted / found.grown - 1


def _row(value: int, found: Measured) -> list[str]:
    megabytes = (f"{number / 2**20:.0f}" for number in (found.grown, found.predicted))
    return [
        *(str(value), f"{found.l0:.1f}", f"{found.milliseconds:.2f}"),
        *(*megabytes, f"{_error(found):+.0%}"),
    ]


def _section(axis: str, line: Mapping[int, Measured]) -> str:
    """One axis: its table, and how time and memory grow over its upper half."""
    header = (axis, "L0", "ms a step", "MiB", "MiB by sae.cost", "error")
    rows = [_row(value, found) for value, found in line.items()]
    others = ", ".join(f"{name} {size}" for name, size in asdict(Point()).items() if name != axis)
    values = list(line)
    lower, upper = values[len(values) // 2], values[-1]
    doublings = math.log(upper / lower)
    time_exponent = math.log(line[upper].milliseconds / line[lower].milliseconds) / doublings
    memory_exponent = math.log(line[upper].grown / line[lower].grown) / doublings
    return (
        f"## {axis} ({others})\n{table(header, rows)}\n\nFrom {lower} to {upper} time grows with "
        f"exponent {time_exponent:.2f}, memory with {memory_exponent:.2f}."
    )


def _largest(worst: float) -> str:
    """What fits, by the model; how far the model was off above."""
    batch = Point().batch
    rows = [
        [where, str(d_in), *(f"{_fitting(memory, d_in, dtype):,}" for dtype in DTYPES)]
        for where, memory in MEMORIES.items()
        for d_in in (384, 2048)
    ]
    header = (
        "memory",
        "d_in",
        *(f"latent_dim, {dtype}".replace("torch.", "") for dtype in DTYPES),
    )
    return (
        f"## The largest SAE that fits\nStandard, batch {batch}, by the model of `sweep.dry_run` "
        f"(`sae.cost`), which was off by at most {worst:.0%} above (limit {LIMIT:.0%}). On a GPU "
        f"the checkpoint is in the host's memory. Not tried: neither memory was filled.\n\n"
        f"{table(header, rows)}"
    )


def _fitting(memory: int, d_in: int, dtype: torch.dtype) -> int:
    config = SaeConfig(architecture=Architecture.standard, latent_dim=1)
    on_gpu = memory == MEMORIES[GPU]
    return largest_latent_dim(config, d_in, Point().batch, dtype, memory=memory, on_gpu=on_gpu)


def _draw(measured: Mapping[str, Mapping[int, Measured]], what: str) -> None:
    """One line an axis, over the ratio to the axis's default; docs/images/scaling_<what>.svg."""
    numbers = {
        axis: {
            value / getattr(Point(), axis): (
                found.milliseconds if what == "time" else found.grown / 2**20
            )
            for value, found in line.items()
        }
        for axis, line in measured.items()
    }
    label = "ms a step" if what == "time" else "MiB beside the program"
    with canvas() as drawn:
        places = list(range(len(numbers)))
        for place, (axis, line) in zip(places, numbers.items(), strict=True):
            color, marker = series(place, places)
            drawn.axes.plot(list(line), list(line.values()), color=color, label=axis)
            titles = [f"{axis} x {ratio:g}: {number:.3g}" for ratio, number in line.items()]
            drawn.scatter(list(line), list(line.values()), titles, color=color, marker=marker)
        ratios = [ratio for line in numbers.values() for ratio in line]
        heights = [number for line in numbers.values() for number in line.values()]
        log_axis(drawn.axes.xaxis, *log_limits(ratios, margin=0.12))
        log_axis(drawn.axes.yaxis, *log_limits(heights, margin=0.12))
        others = ", ".join(f"{name} {size}" for name, size in asdict(Point()).items())
        drawn.axes.set_xlabel(f"times the default ({others})")
        drawn.axes.set_ylabel(label)
        drawn.axes.legend(loc="best")
        title = f"{label.capitalize()} against latent_dim, batch, d_in and L0"
        caption = "One shape is changed at a time; both axes are logarithmic."
        drawing = drawn.finish(f"scaling_{what}", title, caption)
    write_atomically(IMAGES / f"scaling_{what}.svg", drawing.file())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
