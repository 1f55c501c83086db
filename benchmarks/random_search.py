"""A random search near the alphas that land: runs in band and off it, for the pruner's replay.

python -m benchmarks.land --no-transfer --into FOLDER
python -m benchmarks.random_search --into FOLDER
python -m benchmarks.pruning --from FOLDER

For each layer and architecture alpha is drawn log-uniformly within a factor of 1.5 either way of
the alpha that `benchmarks.land` found for the target in FOLDER: as far as the rule that a search
starts from lies beside it (32 of 35 measured targets), so that of three runs about one ends where
no pruner could tell it from a hit and one far off. The alphas, drawn from a printed seed before
anything is trained, are studies of eight by the normal sweep, without a pruner; a study that is
there is not run again. Goes on, layer by layer, until 50 runs are in band; `--minutes` ends it
sooner, and the same command goes on. Exit status 1 where it was ended sooner.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from analysis import load_trials
from benchmarks.land import WIDTH, Task

FACTOR = 1.5
"""Alphas are drawn between the known one over this and times this."""
IN_BAND = 50
ALPHAS = 8
"""Of one study."""
ROUNDS = 25
"""Of studies, at most."""
PREFIX = "random"
"""Of the studies' names."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains until enough runs are in band; returns the exit status."""
    asked = _options(arguments)
    print(f"alphas drawn from seed {asked.seed}, within {FACTOR:g} times of the known ones")
    deadline = time.monotonic() + 60 * asked.minutes
    tasks = [
        Task(layer=layer, architecture=architecture, target=asked.target)
        for layer in asked.layers
        for architecture in asked.architectures
    ]
    runs = in_band = 0
    for task, name, alphas in _studies(tasks, asked):
        table = asked.into / name / "trials.csv"
        if not table.exists():
            if in_band >= asked.in_band:
                continue
            if time.monotonic() > deadline:
                break
            _train(task, name, alphas, asked)
        trials = load_trials(table)
        runs += len(trials)
        in_band += int(trials["in_band"].fillna(False).sum())
        print(f"{name}: {in_band} in band of {runs} runs", flush=True)
    return int(in_band < asked.in_band)


def _studies(
    tasks: Sequence[Task], asked: argparse.Namespace
) -> Iterator[tuple[Task, str, list[float]]]:
    """Every study that there may be, a round over all tasks after another."""
    for number in range(ROUNDS):
        for position, task in enumerate(tasks):
            known = known_alpha(asked.into / task.name)
            random = np.random.default_rng((asked.seed, number, position))
            yield task, f"{PREFIX}-{task.name}-{number}", drawn(known, random)


def drawn(known: float, random: np.random.Generator) -> list[float]:
    """The alphas of one study.

    Args:
        known: The alpha around which they lie.
        random: Where they come from.
    """
    exponents = random.uniform(-1, 1, ALPHAS)
    return [float(f"{known * FACTOR**exponent:.5g}") for exponent in exponents]


def known_alpha(study: Path) -> float:
    """The alpha of the run of a study that came nearest to the target.

    Args:
        study: A folder that `benchmarks.land --into` left.

    Raises:
        SystemExit: There is none.
    """
    if not (study / "trials.csv").exists():
        raise SystemExit(f"{study} must be a study of benchmarks.land --into, but is not there")
    trials = load_trials(study / "trials.csv").dropna(subset="l0_log_error")
    nearest = int(np.argmin(np.abs(trials["l0_log_error"].to_numpy(float))))
    return float(trials["l1_alpha"].iloc[nearest])


def _train(task: Task, name: str, alphas: Sequence[float], asked: argparse.Namespace) -> None:
    command = [
        *(sys.executable, "-m", "sweeper", "--multirun"),
        f"activations.layer={task.layer}",
        f"sae={task.architecture}",
        f"target_l0={task.target}",
        f"sae.latent_dim={WIDTH}",
        f"l1_alpha={','.join(map(str, alphas))}",
        f"sweep.study_name={name}",
        f"hydra.sweep.dir={asked.into}",
        *("sweep.pruner=none", "sweep.keep=none", *asked.overrides),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{name} failed:\n{ended.stdout}{ended.stderr}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, required=True, help="the folder with land's studies")
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 5, 3])
    parser.add_argument("--architectures", nargs="+", default=["standard", "gated", "jumprelu"])
    parser.add_argument("--target", default="32", help="as typed for benchmarks.land")
    parser.add_argument("--in-band", type=int, default=IN_BAND)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="further keys, such as sweep.slots=2")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
