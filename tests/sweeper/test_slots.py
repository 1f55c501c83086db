import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sweeper.execution.lease import current_owner

App = Callable[..., int]
Start = Callable[..., subprocess.Popen[str]]
WaitFor = Callable[..., None]

STUDY = ("--multirun", "sweep.study_name=s", "sweep.slots=2")
WAITING = ("sweep.train=waiting:train", "l1_alpha=2", "seed=0,1")

WAITING_TRAINER = """
import time
from pathlib import Path

def train(config):
    step = 0
    while not Path("go").exists():
        step += 1
        config.report(step=step, l0=6.0)
        time.sleep(0.02)
    return {"l0": 6.0, "fvu": 0.1}
"""
"""Trains until the test lets it end."""


LIMITED_TRAINER = """
import os, signal
from pathlib import Path

def train(config):
    place = Path("done")
    done = int(place.read_text()) if place.exists() else 0
    for step in range(done, done + 10):
        config.report(step=step + 1, l0=6.0)
    place.write_text(str(done + 10))
    if done < 30:
        os.kill(os.getpid(), signal.SIGTERM)
        config.report(step=step + 2, l0=6.0)
    return {"l0": 6.0, "fvu": 0.1}
"""
"""Is asked to stop after every ten steps, as by a queue's time limit, until it has done forty."""


def study(folder: Path) -> Path:
    return folder / "multirun" / "s"


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(study(folder) / "trials.csv")


def wait_until_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(is_running(process) for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


def worker_of(folder: Path, trial: int) -> int:
    """The process that trains a trial."""
    owner = current_owner(study(folder) / f"trial_{trial:05d}")
    assert owner is not None
    return owner.pid


def both_train(folder: Path) -> bool:
    histories = [study(folder) / f"trial_0000{number}" / "history.csv" for number in (0, 1)]
    return all(history.exists() for history in histories)


@pytest.fixture
def running(start_command: Start, wait_for: WaitFor, tmp_path: Path) -> subprocess.Popen[str]:
    """A study that trains its two trials at the same time."""
    (tmp_path / "waiting.py").write_text(WAITING_TRAINER)
    process = start_command(*STUDY, *WAITING)
    wait_for(lambda: both_train(tmp_path), process)
    return process


def test_slots_killed_worker_costs_one_trial_which_goes_on(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    first, second = worker_of(tmp_path, 0), worker_of(tmp_path, 1)
    assert first != second
    os.kill(first, signal.SIGKILL)
    (tmp_path / "go").touch()
    output, error = running.communicate(timeout=120)
    assert running.returncode == 0, error
    assert "trial 0 starts again: its worker was killed by signal 9" in output
    trials = trials_of(tmp_path)
    assert list(trials["attempt"]) == [2, 1]
    assert list(trials["state"]) == ["complete", "complete"]


def test_slots_killed_controller_leaves_jobs_that_the_next_one_adopts(
    running: subprocess.Popen[str], app: App, tmp_path: Path
) -> None:
    running.kill()
    running.wait()
    workers = [worker_of(tmp_path, 0), worker_of(tmp_path, 1)]
    threading.Timer(1.0, (tmp_path / "go").touch).start()
    assert app(*STUDY, *WAITING) == 0
    trials = trials_of(tmp_path)
    assert list(trials["attempt"]) == [1, 1]
    assert list(trials["state"]) == ["complete", "complete"]
    wait_until_gone(workers)


def test_slots_interrupted_once_stop_with_checkpoints_and_go_on(
    running: subprocess.Popen[str], app: App, tmp_path: Path
) -> None:
    running.send_signal(signal.SIGTERM)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "trial_00000, trial_00001 stopped" in error
    assert "Traceback" not in error
    assert current_owner(study(tmp_path) / "trial_00000") is None
    assert not (study(tmp_path) / "trial_00000" / "result.json").exists()
    (tmp_path / "go").touch()
    shutil.rmtree(study(tmp_path) / "trial_00001")  # by hand: that one is begun again
    assert app(*STUDY, *WAITING) == 0
    trials = trials_of(tmp_path)
    assert list(trials["attempt"]) == [2, 1]
    assert list(trials["state"]) == ["complete", "complete"]


def test_slots_interrupted_twice_ends_at_once(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    workers = [worker_of(tmp_path, 0), worker_of(tmp_path, 1)]
    for worker in workers:  # so that nobody stops by itself
        os.kill(worker, signal.SIGSTOP)
    running.send_signal(signal.SIGINT)
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "were not waited for" in error
    wait_until_gone(workers)


def test_slots_worker_that_dies_too_often_is_a_failed_trial(app: App, tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(
        "import os\ndef train(config):\n    os.kill(os.getpid(), 9)\n"
    )
    app(*STUDY, "sweep.train=dying:train", "l1_alpha=2", "sweep.max_retries=0")
    trials = trials_of(tmp_path)
    assert list(trials["state"]) == ["failed"]
    assert trials["verdict_reasons"].item() == "its worker was killed by signal 9"


def test_slots_trial_asked_to_stop_again_and_again_goes_on_as_long_as_it_comes_further(
    app: App, tmp_path: Path
) -> None:
    (tmp_path / "limited.py").write_text(LIMITED_TRAINER)
    assert app(*STUDY, "sweep.train=limited:train", "l1_alpha=2", "sweep.max_retries=0") == 0
    trials = trials_of(tmp_path)
    assert list(trials["state"]) == ["complete"]
    assert list(trials["attempt"]) == [4]


def test_slots_trial_asked_to_stop_where_it_was_before_has_failed(
    app: App, tmp_path: Path
) -> None:
    stuck = LIMITED_TRAINER.replace("range(done, done + 10)", "range(10)")
    (tmp_path / "stuck.py").write_text(stuck)
    app(*STUDY, "sweep.train=stuck:train", "l1_alpha=2", "sweep.max_retries=0", "sweep.n_trials=1")
    assert list(trials_of(tmp_path)["state"]) == ["failed"]


def test_slots_max_steps_starts_no_trial_beyond_them_and_more_go_on(
    app: App, tmp_path: Path
) -> None:
    grid = ("--multirun", "sweep.study_name=s", "l1_alpha=1,2,3")
    assert app(*grid, "sweep.max_steps=310") == 1
    assert len(trials_of(tmp_path)) == 2
    assert app(*grid, "sweep.max_steps=450") == 0
    assert list(trials_of(tmp_path)["steps_done"]) == [150, 150, 150]


def test_slots_stop_file_keeps_unfinished_trials_from_going_on(
    running: subprocess.Popen[str], start_command: Start, tmp_path: Path
) -> None:
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    (tmp_path / "go").touch()
    (study(tmp_path) / "stop").touch()
    again = start_command(*STUDY, *WAITING)
    _, error = again.communicate(timeout=60)
    assert again.returncode == 130
    assert "stop is there; remove it to go on." in error
    assert not list(study(tmp_path).glob("trial_*/result.json"))
