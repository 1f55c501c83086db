import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.errors import SweepError
from sweeper.execution.lease import hold
from sweeper.file_lock import lock_file
from sweeper.journal import FlockLock

App = Callable[..., int]


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
