"""What would pruning by projected L0 have saved, and whom would it have ended wrongly?

python -m benchmarks.land --into FOLDER && python -m benchmarks.random_search --into FOLDER
python -m benchmarks.pruning --from FOLDER

Replays the history.csv of every complete trial of those studies through the pruner, row by row as
a job does. A pruned trial costs the steps to where it was ended, and its search is taken to go on
as it did (the projection tells it nearly what the end would have). A run that missed its target
is judged once more for the L0 that it did reach. Thresholds were chosen on layer 3 and are scored
on the others, searches and random search together. Results go to benchmarks/results/pruning.md.
Exit status 1 where the others' steps are above 0.8 or more than 1 in 50 runs that end in band, or
are held to their own L0, are pruned.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.land import CHOSEN_ON
from benchmarks.markdown import table, write_result
from benchmarks.random_search import FACTOR, PREFIX
from sae.history import HistoryRow, read_history
from sae.recipe import full_strength_from
from sae.trainer_config import TrainerConfig
from sweeper.pruning import PrunedError, Pruner
from sweeper.sweep_config import PrunerName

MOST_STEPS = 0.8
"""Largest share of the steps without pruning."""
MOST_WRONG = 1 / 50
"""Largest share of in-band runs that may be pruned."""
TOLERANCE = 0.05
SCORED = "other layers, all (scored)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One complete run and its curve."""

    study: str
    layer: int
    trial: int
    d_in: int
    target: float
    """As a count."""
    l0: float
    in_band: bool
    git_sha: str
    """Of the code that trained it."""
    rows: Sequence[HistoryRow]

    @property
    def is_random(self) -> bool:
        """Whether its alpha was drawn, not searched."""
        return self.study.startswith(PREFIX)

    @property
    def total_steps(self) -> int:
        """Of the whole run."""
        return self.rows[-1].step


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """What the pruner did to a run."""

    steps: int
    """To where it ended."""
    pruned: bool
    error: float | None
    """ln of projected over true L0, where it was projected."""


def main() -> int:
    """Replays everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="folder", type=Path, required=True)
    runs = _read(parser.parse_args().folder)
    if not runs:
        print("--from must be a folder of studies with complete trials, but has none.")
        return 2
    scores = {name: _score(own) for name, own in parts_of(runs).items()}
    header = ["runs", "searched", "pruned", "steps / without", "in band", "of these pruned"]
    header += ["held to own L0", "of these pruned"]
    rows = [[name, *score.cells()] for name, score in scores.items()]
    studies = {run.study for run in runs}
    drawn = {run.study for run in runs if run.is_random}
    commits = sorted({run.git_sha for run in runs})
    body = (
        f"{len(runs)} complete runs of {len(studies)} studies, {len(drawn)} of them random "
        f"searches, trained at commit {', '.join(commits)}. The random search draws alpha within "
        f"a factor of {FACTOR:g} of the one that lands.\n\n"
        + table([*header, "ln projected / true, mean", "sd"], rows)
        + f"\n\nAt most {MOST_STEPS:g} of the steps and {MOST_WRONG:.0%} of the in-band runs."
    )
    print(f"{body}\n\nwritten to {write_result('pruning', 'Pruning by projected L0', body)}")
    scored = scores.get(SCORED)
    return 0 if scored is not None and scored.holds() else 1


def parts_of(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The rows of the table, those without runs left out."""
    chosen = [run for run in runs if run.layer == CHOSEN_ON]
    others = [run for run in runs if run.layer != CHOSEN_ON]
    parts: dict[str, list[Run]] = {}
    for name, own in ((f"layer {CHOSEN_ON} (chosen on)", chosen), ("other layers", others)):
        parts[f"{name}, searches"] = [run for run in own if not run.is_random]
        parts[f"{name}, random search"] = [run for run in own if run.is_random]
    parts[SCORED] = others
    return {name: own for name, own in parts.items() if own}


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Of some runs."""

    searched: int
    pruned: int
    share_of_steps: float
    in_band: int
    in_band_pruned: int
    own: int
    """Runs off their target, held to the L0 that they reached."""
    own_pruned: int
    errors: tuple[float, ...]

    def cells(self) -> list[str]:
        """For the table."""
        spread = f"{stdev(self.errors):.3f}" if len(self.errors) > 1 else ""
        mean = f"{fmean(self.errors):+.3f}" if self.errors else ""
        counts = [str(self.searched), str(self.pruned), f"{self.share_of_steps:.3f}"]
        judged = [self.in_band, self.in_band_pruned, self.own, self.own_pruned]
        return [*counts, *map(str, judged), mean, spread]

    def holds(self) -> bool:
        """Whether both limits do."""
        wrong = (self.in_band_pruned + self.own_pruned) / max(1, self.in_band + self.own)
        return self.share_of_steps <= MOST_STEPS and wrong <= MOST_WRONG


def _score(runs: Sequence[Run]) -> Score:
    replays = [replay(run, run.target) for run in runs]
    own_targets = [replay(run, run.l0) for run in runs if not run.in_band]
    in_band = [each for run, each in zip(runs, replays, strict=True) if run.in_band]
    return Score(
        searched=len(runs),
        pruned=sum(each.pruned for each in replays),
        share_of_steps=sum(each.steps for each in replays) / sum(run.total_steps for run in runs),
        in_band=len(in_band),
        in_band_pruned=sum(each.pruned for each in in_band),
        own=len(own_targets),
        own_pruned=sum(each.pruned for each in own_targets),
        errors=tuple(each.error for each in replays if each.error is not None),
    )


def replay(run: Run, target: float) -> Replay:
    """Hands a run's rows to the pruner, one after another.

    Args:
        run: The run.
        target: The L0 that it is held to aim at.
    """
    pruner = Pruner(
        rule=PrunerName.projected,
        target=target,
        tolerance=TOLERANCE,
        total_steps=run.total_steps,
        settled_from=full_strength_from(TrainerConfig(total_steps=run.total_steps)),
        d_in=run.d_in,
    )
    for row in run.rows:
        try:
            pruner(row)
        except PrunedError as pruned:
            projected = pruned.facts.get("projected_l0")
            error = None if projected is None else math.log(projected / run.l0)
            return Replay(steps=row.step, pruned=True, error=error)
    return Replay(steps=run.total_steps, pruned=False, error=None)


def _read(folder: Path) -> list[Run]:
    found: list[Run] = []
    for path in sorted(folder.glob("*/trial_*/result.json")):
        record: dict[str, Any] = json.loads(path.read_text())
        rows = read_history(path.parent / "history.csv")
        if record["state"] != "complete" or not rows or not record["l0"]:
            continue
        target = record["target_l0"]
        found.append(
            Run(
                study=path.parts[-3],
                layer=int(str(record["activations"]).rsplit(" ", 1)[-1]),
                trial=record["trial"],
                d_in=record["d_in"],
                target=target * record["latent_dim"] if target < 1 else target,
                l0=record["l0"],
                in_band=record["in_band"],
                git_sha=str(record.get("git_sha"))[:7],
                rows=rows,
            )
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
