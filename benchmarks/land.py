"""How many trials the shipped prior needs to land, on real activations and from nothing.

python -m benchmarks.land

Runs the command that a user types, `sae-sweep --multirun activations.layer=L target_l0=T
sae.latent_dim=2048`, into an empty folder for every layer and target, and reads its trials.csv.
Results go to benchmarks/results/land.md. Exit status 1 where the mean is above 3 trials or a
study does not land.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import pandas as pd

from analysis import load_trials
from benchmarks.markdown import table, write_result

LIMIT = 3.0
"""Most trials to land, in the mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Landing:
    """One study."""

    layer: int
    """Of all-MiniLM-L6-v2."""
    target: str
    """As typed: below 1 a fraction of latent_dim."""
    trials: int | None
    """Trials up to and including the first in band; None where none is."""
    path: str
    """L0 of one trial after another."""
    alpha: float
    """Of the last trial, canonical units."""
    seconds: float
    """The whole command."""


def main() -> int:
    """Runs every study; returns the exit status."""
    options = _options(sys.argv[1:])
    landings: list[Landing] = []
    for layer in options.layers:
        for target in options.targets:
            landings.append(_land(layer, target, options.overrides))
            print(", ".join(_row(landings[-1])), flush=True)
    counts = [landing.trials for landing in landings if landing.trials is not None]
    landed = f"{len(counts)} of {len(landings)} studies landed"
    mean = fmean(counts) if counts else float("inf")
    rows = table(
        ["layer", "target", "trials", "L0 of each", "last alpha", "seconds"],
        [_row(landing) for landing in landings],
    )
    shown = shlex.join(_command("L", "T", options.overrides, Path("EMPTY_FOLDER")))
    body = f"Each by `{shown}`.\n\n{rows}\n\nMean {mean:.2f} trials (at most {LIMIT:g}); {landed}."
    print(f"\n{body}\n\nwritten to {write_result('land', 'Trials to land', body)}")
    return 0 if len(counts) == len(landings) and mean <= LIMIT else 1


def _land(layer: int, target: str, overrides: Sequence[str]) -> Landing:
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        command = _command(str(layer), target, overrides, Path(folder))
        ended = subprocess.run(
            [sys.executable, *command[1:]], capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            raise SystemExit(f"{shlex.join(command)} failed:\n{ended.stdout}{ended.stderr}")
        trials = load_trials(next(Path(folder).rglob("trials.csv")))
    seconds = time.monotonic() - started
    return landing_of(layer, target, trials.sort_values("trial"), seconds)


def _command(layer: str, target: str, overrides: Sequence[str], folder: Path) -> list[str]:
    settings = [f"activations.layer={layer}", f"target_l0={target}", "sae.latent_dim=2048"]
    return [
        *("python", "-m", "sweeper", "--multirun"),
        *settings,
        f"hydra.sweep.dir={folder}",
        *overrides,
    ]


def landing_of(layer: int, target: str, trials: pd.DataFrame, seconds: float) -> Landing:
    """What a study's trials, in their order, say about landing."""
    in_band = [bool(value) for value in trials["in_band"].fillna(False)]
    return Landing(
        layer=layer,
        target=target,
        trials=in_band.index(True) + 1 if any(in_band) else None,
        path=", ".join(f"{value:.1f}" for value in trials["l0"]),
        alpha=float(trials["alpha_canonical"].iloc[-1]),
        seconds=seconds,
    )


def _row(landing: Landing) -> list[str]:
    return [
        str(landing.layer),
        landing.target,
        "not landed" if landing.trials is None else str(landing.trials),
        landing.path,
        f"{landing.alpha:.3f}",
        f"{landing.seconds:.0f}",
    ]


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--targets", nargs="+", default=["0.05", "32"])
    parser.add_argument("overrides", nargs="*", help="further keys, such as trainer.total_steps=9")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
