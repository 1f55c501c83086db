"""What the sweep itself costs: idle slots, and time per trial beside hydra-optuna-sweeper.

python -m benchmarks.overhead --write

Slots: 40 trials that take 2 s and 0.5 s in turn, on 2 warm slots, against the greedy schedule of
the same durations (each slot takes the next trial when it is free). Overhead per trial is
(wall time of 201 trials of no steps - wall time of 1) / 200, in one process; hydra-optuna-sweeper
1.3.0 runs the same number of trials that do nothing in an environment of its own, made once with
pip. `--trials` makes it shorter. Exit status 1 where a limit is passed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.markdown import table, write_result
from sweeper.execution.devices import THREADS

LONG, SHORT, SLOTS, UNEVEN = 2.0, 0.5, 2, 40
MOST = 1.10
"""Times the greedy schedule."""
PEER = ("hydra-optuna-sweeper==1.3.0", "hydra-core==1.3.8", "optuna==2.10.1", "sqlalchemy<2")

TRAINERS = f"""
import time

def nothing(config):
    return {{"l0": 6.0, "fvu": 0.1}}

def uneven(config):
    time.sleep({LONG} if config.seed % 2 else {SHORT})
    return {{"l0": 6.0, "fvu": 0.1}}
"""

PEER_APP = """
import hydra

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def run(config):
    return (config.x - 2) ** 2

run()
"""
PEER_CONFIG = """
defaults:
  - override hydra/sweeper: optuna
x: 1.0
hydra:
  sweeper:
    direction: minimize
    n_jobs: 1
    params:
      x: interval(0, 5)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trainers.py").write_text(TRAINERS)
        ratio, greedy = _slots(folder)
        print(f"slots: {ratio:.3f} of the greedy schedule", flush=True)
        ours = _per_trial(lambda trials: _seconds(folder, "nothing", 1, trials), asked.trials)
        print(f"ours: {1000 * ours:.0f} ms a trial", flush=True)
        peer = _peer_per_trial(folder / "peer", asked.trials)
    header = ("measured", "value", "limit")
    rows = [
        (f"wall time / greedy schedule of {greedy:.1f} s", f"{ratio:.3f}", f"{MOST:.2f}"),
        ("overhead per trial", f"{1000 * ours:.0f} ms", f"{1000 * peer:.0f} ms"),
        ("the same of hydra-optuna-sweeper 1.3.0", f"{1000 * peer:.0f} ms", ""),
    ]
    text = table(header, rows)
    print(text)
    if asked.write:
        write_result("overhead", "What the sweep itself costs", text)
    return int(ratio > MOST or ours > peer)


def _slots(folder: Path) -> tuple[float, float]:
    """Wall time over the greedy schedule's, start-up taken off by a study of one trial a slot."""
    durations = [LONG if seed % 2 else SHORT for seed in range(UNEVEN)]
    wall = _seconds(folder, "uneven", SLOTS, UNEVEN)
    # The first trials of both slots alone: start-up, and their own time.
    start = _seconds(folder, "uneven", SLOTS, SLOTS) - greedy_seconds(durations[:SLOTS], SLOTS)
    best = greedy_seconds(durations, SLOTS)
    return (wall - start) / best, best


def greedy_seconds(durations: Sequence[float], slots: int) -> float:
    """When the last trial ends if every slot takes the next one as soon as it is free."""
    free = [0.0] * slots
    for duration in durations:
        first = min(range(slots), key=lambda slot: free[slot])
        free[first] += duration
    return max(free)


def _per_trial(seconds: Callable[[int], float], trials: int) -> float:
    return (seconds(trials + 1) - seconds(1)) / trials


def _seconds(folder: Path, trainer: str, slots: int, trials: int) -> float:
    """Wall time of a study of so many trials, one per seed."""
    name = f"{trainer}_{slots}_{trials}"
    command = [
        *(sys.executable, "-m", "sweeper", "--multirun", f"sweep.study_name={name}"),
        *("activations=synthetic", "activations.synthetic.n_tokens=4000", "target_l0=6"),
        *("activations.synthetic.held_out_tokens=1000", f"sweep.train=trainers:{trainer}"),
        *("sae.latent_dim=64", "l1_alpha=1", f"sweep.slots={slots}"),
        f"seed={','.join(map(str, range(trials)))}",
    ]
    return _timed(command, folder, str(Path.cwd()))


def _timed(command: Sequence[str], folder: Path, python_path: str) -> float:
    environment = os.environ | {"PYTHONPATH": python_path} | dict.fromkeys(THREADS, "1")
    started = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.monotonic() - started


def _peer_per_trial(folder: Path, trials: int) -> float:
    folder.mkdir()
    (folder / "app.py").write_text(PEER_APP)
    (folder / "config.yaml").write_text(PEER_CONFIG)
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER], check=True)

    def seconds(count: int) -> float:
        run = [python, "app.py", "--multirun", f"hydra.sweeper.n_trials={count}"]
        return _timed([*run, f"hydra.sweep.dir=out_{count}"], folder, "")

    return _per_trial(seconds, trials)


if __name__ == "__main__":
    sys.exit(main())
