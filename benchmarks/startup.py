"""How long until the first training step, and until the next trial of a study of 10,000.

python -m benchmarks.startup --write

First step: from typing the command to the first row of history.csv (`trainer.log_every=1`), the
demo's activations in the cache, over the time of `import torch, hydra, optuna`, in turns. Next
trial: 40 cells of 250 finished trials each in a journal; each cell is then given one more, by a
trainer that does nothing, and what is timed is from one such trial to the next: the proposal,
Hydra's composition of the job, the record. Composing alone is timed beside it in the same process
environment. Exit status 1 where a limit is passed.
"""

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.markdown import table, write_result

IMPORTS = "import torch, hydra, optuna"
ROUNDS = 5
MOST_TO_FIRST_STEP = 2.5
MOST_TO_NEXT_TRIAL = 0.2
"""Seconds beyond composing the configuration."""
CELLS, TRIALS_PER_CELL = 40, 250

TRAINER = """
import time

def train(config):
    with open("moments.txt", "a") as moments:
        moments.write(f"{time.monotonic()}\\n")
    return {"l0": 8 * config.l1_alpha ** -0.9 * 1.1, "fvu": 0.2}
"""
"""Notes when it was called."""

COMPOSING = """
import time
from hydra import compose, initialize_config_dir
from sweeper.app import CONFIG_FOLDER
from sweeper.settings import register_schema
register_schema()
with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
    compose("config", {overrides!r})
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        compose("config", {overrides!r}, return_hydra_config=True)
        seconds.append(time.perf_counter() - started)
print(sorted(seconds)[5])
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        single, sweep = _first_steps(Path(name), asked.rounds)
        following, composing = _next_trial(Path(name))
    beyond = following - composing
    rows = [
        ("single run: first step / imports", f"{single:.2f}", f"{MOST_TO_FIRST_STEP}"),
        ("sweep: first step / imports", f"{sweep:.2f}", f"{MOST_TO_FIRST_STEP}"),
        ("next of 10,000 trials, without composing", f"{beyond:.3f} s", f"{MOST_TO_NEXT_TRIAL} s"),
        ("composing its configuration", f"{composing:.3f} s", ""),
    ]
    text = table(("measured", "value", "limit"), rows)
    print(text)
    if asked.write:
        write_result("startup", "Until the first step, and until the next trial", text)
    return int(max(single, sweep) > MOST_TO_FIRST_STEP or beyond > MOST_TO_NEXT_TRIAL)


def _first_steps(folder: Path, rounds: int) -> tuple[float, float]:
    """Medians over the rounds of single run and sweep over imports."""
    single: list[float] = []
    sweep: list[float] = []
    for _ in range(rounds + 1):
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        imports = time.monotonic() - started
        single.append(_until_first_step(folder / "single", "l1_alpha=1") / imports)
        sweep.append(_until_first_step(folder / "sweep", "--multirun") / imports)
        print(f"imports {imports:.2f} s: {single[-1]:.2f} and {sweep[-1]:.2f} times", flush=True)
    # The first round fills the system's cache.
    return statistics.median(single[1:]), statistics.median(sweep[1:])


def _until_first_step(folder: Path, how: str) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "sweeper", how, "target_l0=32", "trainer.log_every=1"]
    started = time.monotonic()
    running = subprocess.Popen(
        command, cwd=folder, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        while not any(_has_a_row(file) for file in folder.glob("*/**/history.csv")):
            if running.poll() is not None:
                raise RuntimeError(f"{command} ended with status {running.returncode}")
            time.sleep(0.005)
        return time.monotonic() - started
    finally:
        running.kill()
        running.communicate()


def _has_a_row(file: Path) -> bool:
    return file.read_text().count("\n") > 1


def _next_trial(folder: Path) -> tuple[float, float]:
    """Seconds from one trial to the next, and of composing a configuration; medians."""
    (folder / "scale_trainer.py").write_text(TRAINER)
    widths = ",".join(str(64 + 8 * cell) for cell in range(CELLS))
    study = [
        *("activations=synthetic", "activations.synthetic.n_tokens=4000", "target_l0=8"),
        *("activations.synthetic.held_out_tokens=1000", "sweep.train=scale_trainer:train"),
        "sweep.tolerance=1e-6",  # so that no cell is done
    ]
    command = [
        *(sys.executable, "-m", "sweeper", "--multirun", "sweep.study_name=scale", *study),
        f"sae.latent_dim={widths}",
    ]

    def search(n_trials: int) -> None:
        subprocess.run(
            [*command, f"sweep.n_trials={n_trials}"],
            cwd=folder,
            env=_environment(),
            check=False,  # 1: no cell landed
            capture_output=True,
        )

    search(1)
    _fill(folder / "multirun" / "scale" / "study.journal")
    (folder / "moments.txt").unlink()
    search(TRIALS_PER_CELL + 1)
    moments = [float(line) for line in (folder / "moments.txt").read_text().split()]
    if len(moments) != CELLS:
        raise RuntimeError(f"{CELLS} trials must have been run, but it was {len(moments)}")
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    composed = subprocess.run(
        [sys.executable, "-c", COMPOSING.format(overrides=study)],
        env=_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return statistics.median(gaps), float(composed.stdout)


def _fill(journal: Path) -> None:
    """Repeats each cell's one trial until it has `TRIALS_PER_CELL`, at alphas all around it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    number = CELLS
    for name in sorted(study.study_name for study in optuna.get_all_study_summaries(storage)):
        study = optuna.load_study(study_name=name, storage=storage)
        first = study.trials[0]
        for place in range(1, TRIALS_PER_CELL):
            factor = math.exp((2 * place + 1) / TRIALS_PER_CELL - 1)  # never 1: no alpha twice
            study.add_trial(_repeated(first, number, factor))
            number += 1


def _repeated(first: FrozenTrial, number: int, factor: float) -> FrozenTrial:
    """The same trial at another alpha, not in band."""
    record: Mapping[str, Any] = first.user_attrs["record"]
    l0 = float(record["l0"]) * factor**-0.9
    error = math.log(l0 / 8) or 0.1
    alpha = float(record["l1_alpha"]) * factor
    changed = {
        "trial": number, "l1_alpha": alpha, "l0": l0,
        "alpha_canonical": record["alpha_canonical"] * factor, "l0_log_error": error,
        "l0_fraction": l0 / record["latent_dim"], "in_band": False, "dir": f"trial_{number:05d}",
    }  # fmt: skip
    return create_trial(
        state=TrialState.COMPLETE,
        value=abs(error),
        params={"l1_alpha": alpha},
        distributions={"l1_alpha": FloatDistribution(alpha, alpha, log=True)},
        user_attrs={**first.user_attrs, "number": number, "record": {**record, **changed}},
    )


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path.cwd())}


if __name__ == "__main__":
    sys.exit(main())
