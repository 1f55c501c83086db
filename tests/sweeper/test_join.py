"""Two real commands on one study: `sweep.join=true`."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.chaos_watch import ChaosWatch
from sweeper.execution.lease import current_owner

Start = Callable[..., subprocess.Popen[str]]
WaitFor = Callable[..., None]

TRAINER = """
import os, time
from pathlib import Path

def train(config):
    step = 0
    deadline = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < deadline:
        step += 1
        config.report(step=step, l0=6.0)
        time.sleep(0.02)
    with Path("runs.txt").open("a") as runs:
        runs.write(f"{config.seed} {os.getpid()}\\n")
    time.sleep(0.1)
    return {"l0": 6.0, "fvu": 0.1}
"""
"""Trains until the test lets it end, and notes who trained what."""
STUDY = ("--multirun", "sweep.study_name=s", "sweep.train=trainer:train", "l1_alpha=2")


def study(folder: Path) -> Path:
    return folder / "multirun" / "s"


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(study(folder) / "trials.csv")


def trains(folder: Path, trial: int) -> bool:
    return (study(folder) / f"trial_{trial:05d}" / "history.csv").exists()


@pytest.fixture
def two(
    start_command: Start, wait_for: WaitFor, tmp_path: Path, storage: tuple[str, ...]
) -> list[object]:
    """Two commands, each of which trains a trial of the study."""
    (tmp_path / "trainer.py").write_text(TRAINER)
    asked = (*STUDY, *storage, "seed=0,1,2,3,4,5")
    first = start_command(*asked)
    wait_for(lambda: trains(tmp_path, 0), first)
    second = start_command(*asked, "sweep.join=true")
    wait_for(lambda: trains(tmp_path, 1), first, second)
    return [first, second]


@pytest.fixture(params=["journal", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    if request.param == "journal":
        return ()
    return (f"sweep.storage='sqlite:///{tmp_path}/study.db'",)


def test_join_two_commands_share_the_trials_and_double_none(
    two: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    with ChaosWatch(study(tmp_path)) as watch:
        (tmp_path / "go").touch()
        outputs = [process.communicate(timeout=120) for process in two]
    assert [process.returncode for process in two] == [0, 0], outputs
    assert not watch.two_writers
    runs = [line.split() for line in (tmp_path / "runs.txt").read_text().splitlines()]
    assert sorted(seed for seed, _ in runs) == ["0", "1", "2", "3", "4", "5"]
    assert set(Counter(pid for _, pid in runs)) == {str(process.pid) for process in two}
    trials = trials_of(tmp_path)
    assert list(trials["trial"]) == [0, 1, 2, 3, 4, 5]
    assert set(trials["attempt"]) == {1}
    assert all("report:" in output for output, _ in outputs)


def test_join_command_without_anything_to_do_says_for_whom_it_waits(
    start_command: Start, wait_for: WaitFor, tmp_path: Path
) -> None:
    (tmp_path / "trainer.py").write_text(TRAINER)
    first = start_command(*STUDY)
    wait_for(lambda: trains(tmp_path, 0), first)
    second = start_command(*STUDY, "sweep.join=true")
    assert second.stdout is not None
    lines = [second.stdout.readline() for _ in range(3)]
    assert lines[2] == "waits for what other commands train: trial 0\n"
    (tmp_path / "go").touch()
    output, error = second.communicate(timeout=120)
    assert second.returncode == 0, error
    assert "report:" in output


@pytest.mark.parametrize("storage", ["journal"], indirect=True)
def test_join_killed_command_leaves_its_trial_to_the_other(
    two: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    owner = current_owner(study(tmp_path) / "trial_00000")
    assert owner is not None
    assert owner.pid == two[0].pid
    os.kill(two[0].pid, signal.SIGKILL)
    two[0].wait()
    (tmp_path / "go").touch()
    _, error = two[1].communicate(timeout=120)
    assert two[1].returncode == 0, error
    trials = trials_of(tmp_path)
    assert list(trials["state"]) == ["complete"] * 6
    assert list(trials["attempt"]) == [2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("storage", ["journal"], indirect=True)
def test_join_one_command_that_is_asked_to_stop_leaves_the_study_to_the_other(
    two: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    two[1].send_signal(signal.SIGINT)
    two[1].communicate(timeout=60)
    assert two[1].returncode == 130
    (tmp_path / "go").touch()
    _, error = two[0].communicate(timeout=120)
    assert two[0].returncode == 0, error
    assert list(trials_of(tmp_path)["state"]) == ["complete"] * 6
