"""What the sweep itself costs: idle slots, and time per trial beside hydra-optuna-sweeper.

python -m benchmarks.overhead --write

Slots: 40 trials that take 2 s and 0.5 s in turn, on 2 warm slots, against the greedy schedule of
the same durations (each slot takes the next trial when it is free). Overhead per trial is
(wall time of 201 trials of no steps - wall time of 1) / 200, in one process. hydra-optuna-sweeper
1.3.0 runs the same number of trials that return a number at once, in an environment of its own,
made once with pip: of this application's own configuration, which is what Hydra composes for
either, and of one with a single key. `hydra.sweeper.grammar=hos` runs the same two applications
with the same configurations. `--trials` makes it shorter. Exit status 1 where a limit is
passed.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.markdown import table, write_result
from sweeper.app import CONFIG_FOLDER
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

APPLICATION = """
import hydra
{register}

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(config):
    return (config.{key} - 2) ** 2

run()
"""
REGISTER = """
from sweeper.settings import register_schema
register_schema()
"""
ONE_KEY = """
defaults:
  - override hydra/sweeper: {sweeper}
x: 1.0
hydra:
"""
OPTIONS = """
hydra:
  searchpath: {search_path}
  sweeper:{grammar}
    direction: minimize
    n_jobs: 1
    params:
      {key}: interval(0, 5)
"""
SYNTHETIC = (
    "activations=synthetic",
    "activations.synthetic.n_tokens=4000",
    "activations.synthetic.held_out_tokens=1000",
    "target_l0=6",
    "sae.latent_dim=64",
)


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
        peer_python = _peer_python(folder / "environment")
        peer = _HosApplications(folder, peer_python, "optuna", (), asked.trials)
        hos = _HosApplications(folder, sys.executable, "law", ("grammar: hos",), asked.trials)
        same, one_key = peer.same_configuration(), peer.one_key()
        hos_same, hos_one_key = hos.same_configuration(), hos.one_key()
    header = ("measured", "value", "limit")
    rows = [
        (f"wall time / greedy schedule of {greedy:.1f} s", f"{ratio:.3f}", f"{MOST:.2f}"),
        ("overhead per trial", f"{1000 * ours:.0f} ms", f"{1000 * same:.0f} ms"),
        ("hydra-optuna-sweeper 1.3.0, the same configuration", f"{1000 * same:.0f} ms", ""),
        ("grammar=hos, the same configuration", f"{1000 * hos_same:.0f} ms", ""),
        ("hydra-optuna-sweeper 1.3.0, one key", f"{1000 * one_key:.0f} ms", ""),
        ("grammar=hos, one key", f"{1000 * hos_one_key:.0f} ms", ""),
    ]
    text = table(header, rows)
    print(text)
    if asked.write:
        write_result("overhead", "What the sweep itself costs", text)
    return int(ratio > MOST or ours > same)


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
        *(*SYNTHETIC, f"sweep.train=trainers:{trainer}", "l1_alpha=1", f"sweep.slots={slots}"),
        f"seed={','.join(map(str, range(trials)))}",
    ]
    return _timed(command, folder, str(Path.cwd()))


def _timed(command: Sequence[str], folder: Path, python_path: str) -> float:
    environment = os.environ | {"PYTHONPATH": python_path} | dict.fromkeys(THREADS, "1")
    started = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.monotonic() - started


def _peer_python(folder: Path) -> str:
    """An environment with hydra-optuna-sweeper and its optuna, and what else is ours behind."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER], check=True)
    [packages] = (folder / "lib").glob("python*/site-packages")
    (packages / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


class _HosApplications:
    """Two applications for a sweeper that reads hydra-optuna-sweeper's configurations.

    Args:
        folder: For the applications and what they write.
        python: Runs them.
        sweeper: Chosen as `hydra/sweeper`.
        options: Further lines of `hydra.sweeper`.
        trials: Of a study.
    """

    def __init__(
        self, folder: Path, python: str, sweeper: str, options: Sequence[str], trials: int
    ) -> None:
        self._folder = folder
        self._python = python
        self._sweeper = sweeper
        self._grammar = "".join(f"\n    {line}" for line in options)
        self._trials = trials

    def same_configuration(self) -> float:
        """Seconds a trial of this application's configuration."""
        content = (CONFIG_FOLDER / "config.yaml").read_text()
        config = content.replace("hydra/sweeper: law", f"hydra/sweeper: {self._sweeper}")
        app = APPLICATION.format(register=REGISTER, key="l1_alpha")
        options = self._options(f"[file://{CONFIG_FOLDER}]", "l1_alpha")
        return self._per_trial("same", app, _with(options, config), SYNTHETIC)

    def one_key(self) -> float:
        """Seconds a trial of a configuration of one key."""
        app = APPLICATION.format(register="", key="x")
        config = _with(self._options("[]", "x"), ONE_KEY.format(sweeper=self._sweeper))
        return self._per_trial("one_key", app, config, ())

    def _options(self, search_path: str, key: str) -> str:
        return OPTIONS.format(search_path=search_path, key=key, grammar=self._grammar)

    def _per_trial(self, name: str, app: str, config: str, overrides: Sequence[str]) -> float:
        folder = self._folder / f"{self._sweeper}_{name}"
        (folder / "conf").mkdir(parents=True)
        (folder / "conf" / "config.yaml").write_text(config)
        (folder / "app.py").write_text(app)

        def seconds(count: int) -> float:
            run = [self._python, "app.py", "--multirun", f"hydra.sweeper.n_trials={count}"]
            out = f"hydra.sweep.dir=out_{count}"
            return _timed([*run, out, *overrides], folder, str(Path.cwd()))

        return _per_trial(seconds, self._trials)


def _with(options: str, config: str) -> str:
    """The configuration with the peer's options at the head of its `hydra`."""
    before, after = config.split("\nhydra:\n")
    return f"{before}{options}{after}"


if __name__ == "__main__":
    sys.exit(main())
