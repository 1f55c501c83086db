"""How many trials the shipped priors need to land, on real activations and from nothing.

python -m benchmarks.land                    27 studies and the transfer to a wider SAE
python -m benchmarks.land --layers 3 --architectures jumprelu --targets 32

Runs the command that a user types, each study in an empty folder of its own: layers 1, 3 and 5 of
all-MiniLM-L6-v2, three architectures, three targets, latent_dim 1024. For the transfer, widths 512
and 1024 are searched first, and what counts is the trials that 2048 then needs. With `--into` the
studies stay in that folder, and those that are there are not run again. Results go to
benchmarks/results/land.md. Exit status 1 where a study does not land or a limit is passed.
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
from benchmarks.markdown import table, write_result

MEAN_LIMITS = {"standard": 3.0, "gated": 3.0, "jumprelu": 4.5, "transfer": 2.0}
"""Most trials to land, in the mean."""
LIMIT = 8
"""Most trials of any study."""
CHOSEN_ON = 3
"""The layer that the shipped priors and constants were chosen on."""
WIDTH = "1024"
TRANSFER_WIDTHS = ("512", "1024", "2048")
"""The last one is landed from what the others found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One study."""

    layer: int
    """Of all-MiniLM-L6-v2."""
    architecture: str
    target: str
    """As typed: below 1 a fraction of latent_dim."""
    widths: tuple[str, ...] = (WIDTH,)
    """Cells; the last one is judged."""

    @property
    def kind(self) -> str:
        """Which limit holds."""
        return "transfer" if len(self.widths) > 1 else self.architecture

    @property
    def name(self) -> str:
        """Of the study."""
        return f"{self.kind}-{self.architecture}-layer{self.layer}-{self.target}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Landing:
    """What came of one study."""

    task: Task
    trials: int | None
    """Trials up to and including the first in band; None where none is."""
    path: str
    """L0 of one trial after another."""
    alpha: float
    """Of the last trial, canonical units."""


def main() -> int:
    """Runs every study; returns the exit status."""
    options = _options(sys.argv[1:])
    with TemporaryDirectory() as temporary:
        folder = options.into or Path(temporary)
        landings: list[Landing] = []
        for task in _tasks(options):
            landings.append(_land(task, options.overrides, folder))
            print(", ".join(_row(landings[-1])), flush=True)
    body, holds = _summary(landings)
    shown = shlex.join(_command(_EXAMPLE, options.overrides, Path("EMPTY_FOLDER")))
    body = f"Each by `{shown}`, with its own words.\n\n{body}"
    print(f"\n{body}\n\nwritten to {write_result('land', 'Trials to land', body)}")
    return 0 if holds else 1


_EXAMPLE = Task(layer=3, architecture="standard", target="32")


def _tasks(options: argparse.Namespace) -> list[Task]:
    single = [
        Task(layer=layer, architecture=architecture, target=target)
        for architecture in options.architectures
        for layer in options.layers
        for target in options.targets
    ]
    transfer = [
        Task(layer=layer, architecture="standard", target=target, widths=TRANSFER_WIDTHS)
        for layer in options.layers
        for target in options.targets
    ]
    return [*single, *(transfer if options.transfer else [])]


def _land(task: Task, overrides: Sequence[str], folder: Path) -> Landing:
    study = folder / task.name
    if not (study / "trials.csv").exists():
        command = _command(task, overrides, folder)
        ended = subprocess.run(
            [sys.executable, *command[1:]], capture_output=True, text=True, check=False
        )
        if ended.returncode not in (0, 1):
            raise SystemExit(f"{shlex.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    trials = load_trials(study / "trials.csv").sort_values("trial")
    return landing_of(task, trials)


def _command(task: Task, overrides: Sequence[str], folder: Path) -> list[str]:
    return [
        *("python", "-m", "sweeper", "--multirun"),
        f"activations.layer={task.layer}",
        f"sae={task.architecture}",
        f"target_l0={task.target}",
        f"sae.latent_dim={','.join(task.widths)}",
        f"sweep.study_name={task.name}",
        f"hydra.sweep.dir={folder}",
        *overrides,
    ]


def landing_of(task: Task, trials: pd.DataFrame) -> Landing:
    """What the trials of a study's last width, in their order, say about landing."""
    own = trials[trials["latent_dim"] == int(task.widths[-1])]
    in_band = [bool(value) for value in own["in_band"].fillna(False)]
    return Landing(
        task=task,
        trials=in_band.index(True) + 1 if any(in_band) else None,
        path=", ".join(f"{value:.1f}" for value in own["l0"]),
        alpha=float(own["alpha_canonical"].iloc[-1]),
    )


def _summary(landings: Sequence[Landing]) -> tuple[str, bool]:
    """The tables, and whether all limits hold."""
    rows = [_row(landing) for landing in landings]
    header = ["study", "layer", "target", "trials", "L0 of each", "last alpha"]
    lines = [table(header, rows), ""]
    counts = [landing.trials for landing in landings]
    holds = all(count is not None and count <= LIMIT for count in counts)
    for kind, limit in MEAN_LIMITS.items():
        own = [landing.trials for landing in landings if landing.task.kind == kind]
        known = [count for count in own if count is not None]
        if not own:
            continue
        mean = fmean(known) if known else float("inf")
        holds = holds and mean <= limit
        lines.append(
            f"- {kind}: {len(known)} of {len(own)} landed, mean {mean:.2f} trials "
            f"(at most {limit:g}), worst {max(known, default=0)} (at most {LIMIT})"
        )
    single = [each for each in landings if each.task.kind != "transfer"]
    others = [each for each in single if each.task.layer != CHOSEN_ON]
    for name, own in (("all layers", single), (f"without layer {CHOSEN_ON}", others)):
        known = [landing.trials for landing in own if landing.trials is not None]
        if known:
            mean = fmean(known)
            lines.append(f"- {name}, transfer aside: mean {mean:.2f} trials, {len(known)} studies")
    return "\n".join(lines), holds


def _row(landing: Landing) -> list[str]:
    return [
        landing.task.kind,
        str(landing.task.layer),
        landing.task.target,
        "not landed" if landing.trials is None else str(landing.trials),
        landing.path,
        f"{landing.alpha:.3f}",
    ]


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--targets", nargs="+", default=["0.05", "0.01", "32"])
    parser.add_argument("--architectures", nargs="*", default=["standard", "gated", "jumprelu"])
    parser.add_argument("--no-transfer", dest="transfer", action="store_false")
    parser.add_argument("--into", type=Path, help="keep the studies in this folder")
    parser.add_argument("overrides", nargs="*", help="further keys, such as trainer.total_steps=9")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
