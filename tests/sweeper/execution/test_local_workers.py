import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.execution.executor import Ending, Job, Pack
from sweeper.execution.local_workers import LocalWorkers
from sweeper.settings import Settings

StartWorkers = Callable[[str], LocalWorkers]

FORKS = "sleep 60 & echo $! > child.part; mv child.part child;"


@pytest.fixture
def workers_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StartWorkers]:
    """Workers that are a line of shell, in place of ones that load torch."""
    monkeypatch.chdir(tmp_path)
    started: list[LocalWorkers] = []

    def start(line: str) -> LocalWorkers:
        script = tmp_path / "worker"
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        started.append(LocalWorkers(b"", [{}], [tmp_path / "slot_0.log"]))
        return started[-1]

    yield start
    with suppress(ProcessLookupError):
        os.kill(child_of(tmp_path), signal.SIGKILL)
    for workers in started:
        workers.close()


@pytest.fixture
def pack(quick_settings: Callable[[], Settings], tmp_path: Path) -> Pack:
    trial = BookedTrial(
        number=0, cell="a", l1_alpha=2.0, seed=0, is_running=True, record=None, optuna_number=0
    )
    cell = Cell(name="a", group="a", overrides=(), settings=quick_settings())
    return (Job(trial=trial, cell=cell, directory=tmp_path),)


def child_of(folder: Path) -> int:
    """The process that the worker forked."""
    deadline = time.monotonic() + 10
    while not (folder / "child").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int((folder / "child").read_text())


def is_running(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


def test_local_workers_killed_worker_whose_child_lives_is_a_loss(
    workers_that: StartWorkers, pack: Pack
) -> None:
    workers = workers_that(f"{FORKS} kill -9 $$")
    [end] = workers.submit(0, pack).result(timeout=10)
    assert (end.ending, end.reason) == (Ending.lost, "its worker was killed by signal 9")


def test_local_workers_answer_of_a_worker_that_leaves_is_read_to_its_end(
    workers_that: StartWorkers, pack: Pack
) -> None:
    dots = "head -c 200000 /dev/zero | tr '\\0' ."  # more than a pipe holds
    answer = f'printf \'[{{"ending": "crashed", "reason": "%s"}}]\\n\' $({dots})'
    workers = workers_that(f'{FORKS} {answer} > /dev/fd/"$3"')
    [end] = workers.submit(0, pack).result(timeout=10)
    assert (end.ending, len(end.reason)) == (Ending.crashed, 200_000)


def test_local_workers_kill_ends_what_a_trainer_forked(
    workers_that: StartWorkers, pack: Pack, tmp_path: Path
) -> None:
    workers = workers_that(f"{FORKS} wait")
    future = workers.submit(0, pack)
    child = child_of(tmp_path)
    began = time.monotonic()
    workers.kill()
    assert future.result(timeout=10)[0].ending is Ending.lost
    assert time.monotonic() - began < 5
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)
