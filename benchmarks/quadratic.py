"""What alpha does to JumpReLU's quadratic penalty: the source of its default prior.

python -m benchmarks.quadratic

Its penalty is the squared relative distance of L0 from the target, so that alpha says how strongly
L0 is held to the target and not how sparse the codes are. Trains on layer 3 of the demo's
activations over multiples of d_in, targets, widths and lengths, and appends every run to
benchmarks/results/quadratic_layer3.csv; a run that is there already is not repeated. Then prints
by how much L0 misses the target, and what that costs in fvu.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.demo import demo_store
from benchmarks.markdown import RESULTS, table, write_result
from benchmarks.recipe_runs import append_run, kept_rows
from sae.architectures.config import Architecture, JumpReluConfig, JumpReluPenalty, SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

LAYER = 3
RUNS = RESULTS / "quadratic_layer3.csv"
STRENGTHS = (1 / 9, 1 / 3, 1, 3, 9, 27, 81)
"""Alpha over d_in: the error it is weighed against is in units of d_in."""
FEWER = (1 / 3, 3, 27)
"""Where not all are trained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run, as asked for."""

    latent_dim: int
    target_count: float
    total_steps: int
    strength: float
    """Alpha over d_in."""


def main() -> int:
    """Trains what is missing, prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    if not parser.parse_args().report_only:
        train_missing()
    body = summary(kept_rows(RUNS))
    title = "Alpha of JumpReLU's quadratic penalty"
    print(f"\n{body}\n\nwritten to {write_result('quadratic', title, body)}")
    return 0


def planned() -> Iterator[Run]:
    """All strengths at 3 % of width 1024; fewer at other targets, another width, other lengths."""
    places = [
        (1024, 32.0, 600, STRENGTHS),
        (1024, 51.2, 600, FEWER),
        (512, 25.6, 600, FEWER),
        (1024, 10.24, 600, FEWER),
        (1024, 32.0, 300, FEWER),
        (1024, 32.0, 1200, FEWER),
    ]
    for latent_dim, target_count, total_steps, strengths in places:
        for strength in strengths:
            yield Run(
                latent_dim=latent_dim,
                target_count=target_count,
                total_steps=total_steps,
                strength=round(strength, 4),
            )


def train_missing() -> None:
    """Trains the planned runs that are not in the file yet."""
    store = demo_store(LAYER)
    done = {_run_of(row) for row in kept_rows(RUNS)}
    for run in planned():
        if run in done:
            continue
        started = time.monotonic()
        request = TrainingRequest(
            sae=SaeConfig(
                architecture=Architecture.jumprelu,
                latent_dim=run.latent_dim,
                jumprelu=JumpReluConfig(penalty=JumpReluPenalty.quadratic),
            ),
            trainer=TrainerConfig(total_steps=run.total_steps),
            alpha_canonical=run.strength * store.d_in,
            target_l0_count=run.target_count,
            device="cpu",
        )
        with tempfile.TemporaryDirectory() as folder:
            result = train(request, store, Path(folder))
        measured = {"d_in": store.d_in, "l0": result.l0, "fvu": result.fvu}
        append_run({**asdict(run), **measured}, RUNS)
        seconds = time.monotonic() - started
        print(f"{run} L0 {result.l0:.2f}, fvu {result.fvu:.4f}, {seconds:.0f} s", flush=True)


def summary(rows: Sequence[Mapping[str, str]]) -> str:
    """By how much L0 misses the target at each strength, and fvu there."""
    found = {_run_of(row): row for row in rows}
    lines: list[list[str]] = []
    for place in dict.fromkeys(replace(run, strength=0.0) for run in found):
        cells: list[str] = []
        for strength in STRENGTHS:
            row = found.get(replace(place, strength=round(strength, 4)))
            cells.append("" if row is None else _cell(row))
        where = (str(place.latent_dim), f"{place.target_count:g}", str(place.total_steps))
        lines.append([*where, *cells])
    header = ["width", "target", "steps", *(f"{strength:.2g} d_in" for strength in STRENGTHS)]
    return f"L0 over the target, less one, and fvu; by alpha:\n\n{table(header, lines)}"


def _cell(row: Mapping[str, str]) -> str:
    return f"{float(row['l0']) / float(row['target_count']) - 1:+.1%}, {float(row['fvu']):.4f}"


def _run_of(row: Mapping[str, str]) -> Run:
    return Run(
        latent_dim=int(row["latent_dim"]),
        target_count=float(row["target_count"]),
        total_steps=int(row["total_steps"]),
        strength=float(row["strength"]),
    )


if __name__ == "__main__":
    sys.exit(main())
