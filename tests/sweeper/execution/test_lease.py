import errno
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sweeper.execution import lease
from sweeper.execution.lease import (
    Lease,
    LeaseHeldError,
    LeaseLostError,
    LeaseWatch,
    Owner,
    ask_to_stop,
    current_owner,
    hold,
    lease_path,
    may_start,
    watch_of,
)
from sweeper.file_lock import lock_file

HOLDER = """
import sys, time
from pathlib import Path
from sweeper.execution.lease import hold
with hold(Path(sys.argv[1]), 1):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def write_foreign_lease(directory: Path, attempt: int) -> Path:
    """The lease of a job on another machine, whose lock does not reach here."""
    owner = replace(Owner.here(attempt), boot="another machine", host="elsewhere")
    (directory / lease.LOCK_FILE).touch()
    path = lease_path(directory, attempt)
    path.write_text(json.dumps(asdict(owner)))
    return path


def wait_until_asked(held: Lease) -> None:
    deadline = time.monotonic() + 30
    while not held.stop.requested:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_hold_second_process_is_refused_by_name(
    holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LOCK_PATIENCE", 0.0)
    with pytest.raises(LeaseHeldError, match=f"process {holder.pid} on"), hold(tmp_path, 2):
        pass


def test_hold_after_a_kill_is_free_at_once(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    assert LeaseWatch(tmp_path).is_alive()
    holder.kill()
    holder.wait()
    assert not LeaseWatch(tmp_path).is_alive()
    with hold(tmp_path, 1):
        owner = current_owner(tmp_path)
        assert owner is not None
        assert owner.pid != holder.pid


def test_hold_leaves_no_lease_behind(tmp_path: Path) -> None:
    with hold(tmp_path, 1):
        assert current_owner(tmp_path) is not None
    assert current_owner(tmp_path) is None
    assert not LeaseWatch(tmp_path).is_alive()


def test_hold_same_attempt_of_another_machine_is_refused(tmp_path: Path) -> None:
    write_foreign_lease(tmp_path, attempt=2)
    with pytest.raises(LeaseHeldError, match="on elsewhere is running it"), hold(tmp_path, 2):
        pass


def test_hold_earlier_attempt_than_the_lease_is_refused(tmp_path: Path) -> None:
    write_foreign_lease(tmp_path, attempt=3)
    with pytest.raises(LeaseHeldError), hold(tmp_path, 2):
        pass
    owner = current_owner(tmp_path)
    assert owner is not None
    assert owner.attempt == 3


def test_hold_later_attempt_takes_over(tmp_path: Path) -> None:
    foreign = write_foreign_lease(tmp_path, attempt=1)
    with hold(tmp_path, 2):
        assert not foreign.exists()


def test_lease_taken_over_raises_when_the_job_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_EVERY", 0.01)
    with hold(tmp_path, 1) as held:
        assert held.stop.requested is False
        write_foreign_lease(tmp_path, attempt=2)
        lease_path(tmp_path, 1).unlink()
        with pytest.raises(LeaseLostError, match="must be run by one job"):
            wait_until_asked(held)


def test_lease_of_a_job_that_slept_too_long_is_checked_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_EVERY", 60.0)
    monkeypatch.setattr(lease, "STALE_AFTER", 0.0)
    with hold(tmp_path, 1) as held:
        lease_path(tmp_path, 1).unlink()
        with pytest.raises(LeaseLostError):
            held.check()


def test_lease_asks_the_job_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_EVERY", 0.01)
    with hold(tmp_path, 1) as held:
        ask_to_stop(tmp_path)
        wait_until_asked(held)
        assert held.stop.reason == "the controller"
    may_start(tmp_path)
    with hold(tmp_path, 2) as held:
        assert not held.stop.requested


def test_lease_asks_the_job_to_stop_once_a_file_server_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, failures = Path.exists, [3]

    def exists(path: Path) -> bool:
        is_heartbeat = threading.current_thread() is not threading.main_thread()
        if is_heartbeat and path.name == "stop" and failures[0] > 0:
            failures[0] -= 1
            raise OSError(errno.ESTALE, "stale")
        return original(path)

    monkeypatch.setattr(lease, "BEAT_EVERY", 0.01)
    monkeypatch.setattr(Path, "exists", exists)
    with hold(tmp_path, 1) as held:
        ask_to_stop(tmp_path)
        wait_until_asked(held)
        assert failures == [0]


def test_watch_lease_of_another_machine_lives_while_it_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE_AFTER", 0.2)
    path = write_foreign_lease(tmp_path, attempt=1)
    watch = LeaseWatch(tmp_path)
    assert watch.is_alive()
    path.touch()
    assert watch.is_alive()
    time.sleep(0.25)
    assert not watch.is_alive()


def test_watch_of_asked_anew_finds_that_another_machine_s_lease_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE_AFTER", 0.1)
    write_foreign_lease(tmp_path, attempt=1)
    assert watch_of(tmp_path).is_alive()
    time.sleep(0.15)
    assert not watch_of(tmp_path).is_alive()


def test_watch_whose_file_server_is_away_lives_as_long_as_without_a_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_away(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "stale")

    monkeypatch.setattr(lease, "STALE_AFTER", 0.2)
    watch = LeaseWatch(tmp_path)
    time.sleep(0.25)  # what counts is when it was last seen alive, not how old the watch is
    with hold(tmp_path, 1):
        assert watch.is_alive()
        monkeypatch.setattr(Path, "open", is_away)
        assert watch.is_alive()
        time.sleep(0.25)
        assert not watch.is_alive()
        monkeypatch.undo()


def test_watch_takes_another_observer_for_no_job(tmp_path: Path) -> None:
    with hold(tmp_path, 1):
        pass
    with (tmp_path / lease.LOCK_FILE).open("a") as observer:
        lock_file(observer, waits=False, is_shared=True)
        assert not LeaseWatch(tmp_path).is_alive()


def test_watch_empty_directory_has_no_job(tmp_path: Path) -> None:
    assert not LeaseWatch(tmp_path).is_alive()
    assert not LeaseWatch(tmp_path / "missing").is_alive()
