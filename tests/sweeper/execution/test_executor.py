import errno
from concurrent.futures import Future
from pathlib import Path

import pytest

from sweeper.execution.executor import Ending, JobEnd, answer


def ends_where(error: BaseException, folder: Path) -> list[JobEnd]:
    """How two trials end whose end could not be found out."""

    def raises() -> list[JobEnd]:
        raise error

    future: Future[list[JobEnd]] = Future()
    answer(future, [folder / "a", folder / "b"], raises)
    return future.result(timeout=0)


@pytest.mark.parametrize("error", [SystemExit("no data"), RuntimeError("no data")])
def test_answer_of_what_raises_ends_every_trial(error: BaseException, tmp_path: Path) -> None:
    ends = ends_where(error, tmp_path)
    assert [end.ending for end in ends] == [Ending.crashed, Ending.crashed]
    assert ends[1].reason == f"{type(error).__name__}: no data"


def test_answer_of_a_disk_that_cannot_be_read_fails_no_trial(tmp_path: Path) -> None:
    ends = ends_where(OSError(errno.ESTALE, "Stale file handle"), tmp_path)
    assert [end.ending for end in ends] == [Ending.refused, Ending.refused]
    assert "Stale file handle" in ends[0].reason
