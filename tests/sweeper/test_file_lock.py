import errno
import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sweeper.errors import SweepError
from sweeper.execution.lease import LeaseWatch, hold
from sweeper.file_lock import lock_file, unlock_file
from sweeper.journal import FlockLock

App = Callable[..., int]
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from Python 3.12 on


@pytest.fixture(params=["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def disk_without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    code = getattr(errno, request.param)

    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    return os.strerror(code)


def test_lock_file_of_another_is_not_waited_for_unless_asked(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as first, (tmp_path / "lock").open("a") as second:
        lock_file(first, waits=True)
        with pytest.raises(BlockingIOError):
            lock_file(second, waits=False)


def test_lock_file_shared_lets_another_shared_one_in(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as first, (tmp_path / "lock").open("a") as second:
        lock_file(first, waits=False, is_shared=True)
        lock_file(second, waits=False, is_shared=True)


def test_unlock_file_frees_it_from_processes_that_were_forked_meanwhile(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as first, (tmp_path / "lock").open("a") as second:
        lock_file(first, waits=True)
        with forked():
            unlock_file(first)
            first.close()
            lock_file(second, waits=False)


@contextmanager
def forked() -> Generator[None]:
    """A child process, with this one's open files, for as long as the block lasts."""
    waits, ends = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ends)
        os.read(waits, 1)
        os._exit(0)
    try:
        yield
    finally:
        os.close(ends)
        os.close(waits)
        os.waitpid(child, 0)


def test_journal_lock_released_is_free_whoever_was_forked_meanwhile(tmp_path: Path) -> None:
    lock = FlockLock(tmp_path / "lock")
    lock.acquire()
    with forked(), (tmp_path / "lock").open("a") as another:
        lock.release()
        lock_file(another, waits=False)


def test_hold_ended_is_over_whoever_was_forked_meanwhile(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with hold(tmp_path, attempt=1):
            stack.enter_context(forked())
        assert not LeaseWatch(tmp_path).is_alive()


def test_hold_on_a_disk_without_locks_names_the_folder(
    disk_without_locks: str, tmp_path: Path
) -> None:
    line = f"{tmp_path} must be on a disk with file locks .* {disk_without_locks}"
    with pytest.raises(SweepError, match=line), hold(tmp_path, attempt=1):
        pass


def test_journal_lock_on_a_disk_without_locks_names_the_folder(
    disk_without_locks: str, tmp_path: Path
) -> None:
    line = f"{tmp_path} must be on a disk with file locks .* {disk_without_locks}"
    with pytest.raises(SweepError, match=line):
        FlockLock(tmp_path / "lock").acquire()


@pytest.mark.usefixtures("disk_without_locks")
def test_app_study_on_a_disk_without_locks_is_one_line(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("--multirun", "sweep.study_name=s", "l1_alpha=3", "trainer.total_steps=3") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "multirun/s must be on a disk with file locks" in line
