"""Which operators a training step spends its time in, beside the floor of the two largest.

python -m benchmarks.profile_step                 the standard SAE at about 1 % of latents on
python -m benchmarks.profile_step dense topk      pieces of benchmarks.step

Trains as a piece says for some steps, then times every operator of torch's and every compiled
loop. The least of many steps in milliseconds, so that a busy machine matters little; what is left
of the step is Python. Writes a section for each piece to benchmarks/results/profile.md
(profile_matrix_units.md, profile_float32.md on such processors).
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.demo import demo_store
from benchmarks.markdown import merge_section, table
from benchmarks.processor import results_of
from benchmarks.step import BATCH_SIZE, LAYER, SEED, request_of
from benchmarks.step_pieces import PIECES, Piece
from sae.activations import ActivationStore
from sae.kernels.launching import Table
from sae.run_state import RunState
from sae.trainer_config import Precision

PROFILED_STEPS = 40
SMALLEST = 0.1
"""Milliseconds below which an operator gets no row."""
ADAM_BYTES = 28
"""Read and written for each parameter: parameter and two moments both, the gradient read."""


def main() -> int:
    """Prints and writes a table for each piece; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pieces", nargs="*", default=["sparse"], help=f"of {', '.join(PIECES)}")
    parser.add_argument("--steps", type=int, default=200, help="before those that are profiled")
    options = parser.parse_args(sys.argv[1:])
    store = demo_store(LAYER)
    for name in options.pieces:
        body = _profile(store, PIECES[name], options.steps)
        path = merge_section(
            results_of("profile"), "Where a step's time goes", PIECES[name].title, body
        )
        print(f"{body}\n\nwritten to {path}\n", flush=True)
    return 0


class _Clock(TorchDispatchMode):
    """Sums the seconds of every operator in a step; on the CPU it ends when it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        started = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        shapes = [tuple(value.shape) for value in args if isinstance(value, Tensor)]
        name = f"{func.name().removeprefix('aten::')} {' '.join(map(str, shapes[:2]))}"
        self.seconds[name] += time.perf_counter() - started
        return result


@contextmanager
def _loops_timed(clock: _Clock) -> Any:
    """Gives the compiled loops to a clock as well."""
    run = Table.run

    def timed(self: Table, kernel: Any, **values: Tensor | int) -> None:
        started = time.perf_counter()
        run(self, kernel, **values)
        clock.seconds[f"loop {kernel.__name__}"] += time.perf_counter() - started

    Table.run = timed
    try:
        yield
    finally:
        Table.run = run


def _profile(store: ActivationStore, piece: Piece, steps: int) -> str:
    request = request_of(piece, Precision.auto)
    state = RunState(request, store, torch.device("cpu"))
    batches = store.train_batches(BATCH_SIZE, SEED)
    for _ in range(steps):
        state.take_step(next(batches), True)
    whole, least = float("inf"), defaultdict[str, float](lambda: float("inf"))
    for _ in range(PROFILED_STEPS):
        x_BD, started = next(batches), time.perf_counter()
        state.take_step(x_BD, True)
        whole = min(whole, time.perf_counter() - started)
        x_BD, clock = next(batches), _Clock()
        with clock, _loops_timed(clock):
            state.take_step(x_BD, True)
        for name, seconds in clock.seconds.items():
            least[name] = min(least[name], seconds)
    density = float(state.trace.values[state.step - 1, 3]) / piece.latent_dim
    large = {name: 1000 * time for name, time in least.items() if 1000 * time >= SMALLEST}
    rows = [
        [name, f"{time:.2f}", f"{time / (1000 * whole):.0%}"]
        for name, time in sorted(large.items(), key=lambda pair: -pair[1])
    ]
    rows.append(["whole step, not profiled", f"{1000 * whole:.2f}", "100%"])
    encoder, adam = _floors(piece, store.d_in, state.model.workspace.dtype)
    return (
        f"{torch.get_num_threads()} threads, {density:.2%} of latents on, least of "
        f"{PROFILED_STEPS} steps.\n\n{table(['operator', 'ms', 'of the step'], rows)}\n\n"
        f"Floors: {encoder:.2f} ms for the encoder's product alone, {adam:.2f} ms for Adam's "
        f"bytes at the speed of a copy."
    )


def _floors(piece: Piece, d_in: int, dtype: torch.dtype) -> tuple[float, float]:
    """Milliseconds of the encoder's product, and of a copy of as many bytes as Adam moves."""
    W_FD, x_BD = (torch.randn(rows, d_in).to(dtype) for rows in (piece.latent_dim, BATCH_SIZE))
    z_FB = torch.empty(piece.latent_dim, BATCH_SIZE, dtype=dtype)
    weights = torch.randn(2 * piece.latent_dim * d_in)
    copy = torch.empty_like(weights)
    copied = 2 * weights.nbytes
    adam = ADAM_BYTES * len(weights) / copied * _least(lambda: copy.copy_(weights))
    return _least(lambda: torch.mm(W_FD, x_BD.t(), out=z_FB)), adam


def _least(compute: Callable[[], object]) -> float:
    seconds: list[float] = []
    for _ in range(PROFILED_STEPS):
        started = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - started)
    return 1000 * min(seconds)


if __name__ == "__main__":
    sys.exit(main())
