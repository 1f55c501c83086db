"""Does alpha from short runs land a long one? `sweep.budgets=[0.125,0.25,1]` at 4,800 steps.

python -m benchmarks.budgets                                        12 studies, hours on two cores
python -m benchmarks.budgets --layers 3 --widths 1024 --into FOLDER     a part of them

Each study is run twice from nothing, with and without short runs, at the same prior. With `--into`
the studies stay in that folder, those that are there are not run again, and one that was killed
goes on. Compute is all steps run over 4,800, those of pruned runs up to where they were ended; the
L0 of a pruned run is where it was projected to end (add `sweep.pruner=projected`, for both
searches). Results go to benchmarks/results/budgets.md. Exit status 1 where a study does not land,
fewer than three quarters of the first full runs are within 25 % of the target, or the mean compute
is above 2.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import pandas as pd

from analysis import load_trials
from benchmarks.markdown import merge_section, table

FULL_STEPS = 4800
BUDGETS = "[0.125,0.25,1]"
SEARCHES = {"short": True, "full": False}
"""Whether short runs come first, by what the search begins with."""
NEAR = 0.25
"""How far the first full run may be from the target, relative."""
NEAR_SHARE = 9 / 12
MOST_COMPUTE = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One study."""

    layer: int
    width: int
    target: str
    """As typed: below 1 a fraction of latent_dim."""
    is_short: bool
    """Whether short runs come first."""

    @property
    def name(self) -> str:
        """Of the study."""
        kind = "short" if self.is_short else "full"
        return f"{kind}-layer{self.layer}-{self.width}-{self.target}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one study."""

    task: Task
    first: float | None
    """L0 of the first full run over the target; None where there is none."""
    landed: bool
    compute: float
    """Steps up to the first full run in band, over those of one full run."""
    path: str
    """L0 of each run: short ones with their budget, pruned ones as projected, after ~."""

    @property
    def is_near(self) -> bool:
        """Whether the first full run is within 25 % of the target."""
        return self.first is not None and abs(self.first - 1) <= NEAR


def main() -> int:
    """Runs every study; returns the exit status."""
    options = _options(sys.argv[1:])
    tasks = [
        Task(layer=layer, width=width, target=target, is_short=is_short)
        for layer in options.layers
        for width in options.widths
        for target in options.targets
        for is_short in (SEARCHES[name] for name in options.searches)
    ]
    with TemporaryDirectory() as temporary:
        folder = options.into or Path(temporary)
        outcomes: list[Outcome] = []
        for task in tasks:
            outcomes.append(_run(task, options.steps, options.overrides, folder))
            print(", ".join(_row(outcomes[-1])), flush=True)
    body, holds = _summary(outcomes)
    widths = ", ".join(map(str, options.widths))
    path = merge_section("budgets", "Short runs for long ones", f"latent_dim {widths}", body)
    print(f"\n{body}\n\nwritten to {path}")
    return 0 if holds else 1


def _run(task: Task, steps: int, overrides: Sequence[str], folder: Path) -> Outcome:
    study = folder / task.name
    if not (study / "trials.csv").exists():
        command = [
            *(sys.executable, "-m", "sweeper", "--multirun"),
            f"activations.layer={task.layer}",
            f"sae.latent_dim={task.width}",
            f"target_l0={task.target}",
            f"trainer.total_steps={steps}",
            *([f"sweep.budgets={BUDGETS}"] if task.is_short else []),
            f"sweep.study_name={task.name}",
            f"hydra.sweep.dir={folder}",
            *overrides,
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode not in (0, 1):
            raise SystemExit(f"{shlex.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    return outcome_of(task, load_trials(study / "trials.csv").sort_values("trial"), steps)


def outcome_of(task: Task, trials: pd.DataFrame, steps: int) -> Outcome:
    """What a study's trials, in their order, say."""
    full = trials[trials["total_steps"] == steps]
    in_band = [bool(value) for value in full["in_band"].fillna(False)]
    target = float(task.target) * task.width if float(task.target) < 1 else float(task.target)
    known = _ends(full).dropna()
    last = full["trial"].iloc[in_band.index(True)] if any(in_band) else trials["trial"].max()
    used = trials[trials["trial"] <= last]
    return Outcome(
        task=task,
        first=None if known.empty else float(known.iloc[0]) / target,
        landed=any(in_band),
        compute=float(used["steps_done"].fillna(0).sum()) / steps,
        path=", ".join(
            _shown(l0, end) + ("" if total == steps else f" ({total / steps:g})")
            for l0, end, total in zip(
                trials["l0"], _ends(trials), trials["total_steps"], strict=True
            )
        ),
    )


def _shown(l0: float, end: float) -> str:
    """Where a run ended, or was projected to end, or that it was ended without a projection."""
    if pd.isna(end):
        return "pruned"
    return f"~{end:.1f}" if pd.isna(l0) else f"{l0:.1f}"


def _ends(trials: pd.DataFrame) -> "pd.Series[float]":
    """L0 of each run at its end, projected where it was pruned."""
    if "projected_l0" not in trials:
        return trials["l0"]
    return trials["l0"].fillna(trials["projected_l0"])


def _summary(outcomes: Sequence[Outcome]) -> tuple[str, bool]:
    header = ["first", "layer", "width", "target", "first full / target", "compute", "L0 of each"]
    lines = [table(header, [_row(outcome) for outcome in outcomes]), ""]
    for kind, is_short in SEARCHES.items():
        own = [outcome for outcome in outcomes if outcome.task.is_short is is_short]
        if not own:
            continue
        near = sum(outcome.is_near for outcome in own)
        mean = fmean(outcome.compute for outcome in own)
        landed = sum(outcome.landed for outcome in own)
        lines.append(
            f"- {kind} first: {landed} of {len(own)} landed, first full run within {NEAR:.0%} in "
            f"{near}, mean compute {mean:.2f}"
        )
    short = [outcome for outcome in outcomes if outcome.task.is_short]
    holds = not short or (
        all(outcome.landed for outcome in short)
        and sum(outcome.is_near for outcome in short) >= NEAR_SHARE * len(short)
        and fmean(outcome.compute for outcome in short) <= MOST_COMPUTE
    )
    return "\n".join(lines), holds


def _row(outcome: Outcome) -> list[str]:
    task = outcome.task
    return [
        "short" if task.is_short else "full",
        str(task.layer),
        str(task.width),
        task.target,
        "none" if outcome.first is None else f"{outcome.first:.2f}",
        f"{outcome.compute:.2f}" + ("" if outcome.landed else " (not landed)"),
        outcome.path,
    ]


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--widths", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--targets", nargs="+", default=["0.05", "32"])
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, default=list(SEARCHES))
    parser.add_argument("--steps", type=int, default=FULL_STEPS)
    parser.add_argument("--into", type=Path, help="keep the studies in this folder")
    parser.add_argument("overrides", nargs="*", help="further keys, such as sweep.pruner=none")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
