"""The journal: a study's trials as lines of one file, which many processes write."""

import json
import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from analysis.study_storage import DAMAGED
from sweeper.errors import SweepError
from sweeper.file_lock import lock_file, unlock_file

BLOCK = 1 << 16
"""Bytes read at once in search of a line's beginning."""


class FlockLock(JournalFileOpenLock):
    """A lock on the journal that goes with its process; Optuna's own outlive a kill by 30 s.

    Args:
        path: The lock's file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._stream: IO[str] | None = None

    def acquire(self) -> bool:
        """Waits for the lock."""
        stream = self._path.open("a")
        try:
            lock_file(stream, waits=True)
        except BaseException:
            stream.close()
            raise
        self._stream = stream
        return True

    def release(self) -> None:
        """Lets the next process write."""
        if self._stream is not None:
            unlock_file(self._stream)
            self._stream.close()
            self._stream = None


class JournalLock(FlockLock):
    """The lock on a journal; whoever takes it cuts off the line that another left unfinished.

    A full disk, or a kill, ends a line in the middle, and the next one would be written on to it.

    Args:
        journal: The journal's file.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(journal.with_name(f"{journal.name}.lock"))
        self._journal = journal

    def acquire(self) -> bool:
        """Waits for the lock; what the journal then holds is whole lines."""
        super().acquire()
        with suppress(FileNotFoundError), self._journal.open("r+b") as stream:
            _cut_to_whole_lines(stream)
        return True


def _cut_to_whole_lines(stream: IO[bytes]) -> None:
    """Cuts off a line without its end, and blank lines before the end, which no writer leaves."""
    end = stream.seek(0, os.SEEK_END)
    whole = _after_last_newline(stream, end)
    while whole > 0 and not (line := _line_before(stream, whole)).strip():
        whole -= len(line)
    if whole < end:
        stream.truncate(whole)


def _line_before(stream: IO[bytes], end: int) -> bytes:
    """The line whose newline stands before `end`."""
    start = _after_last_newline(stream, end - 1)
    stream.seek(start)
    return stream.read(end - start)


def _after_last_newline(stream: IO[bytes], end: int) -> int:
    while end > 0:
        start = max(0, end - BLOCK)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


class NumberingBackend(JournalFileBackend):
    """A journal's file that knows which line it is at; Optuna's errors name none."""

    line = 0
    """Number of the line that is read; the first is 1."""

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any]]:
        """See `JournalFileBackend.read_logs`."""
        self.line = log_number_from + 1
        for log in super().read_logs(log_number_from):
            yield log
            self.line += 1


def open_journal(path: Path) -> JournalStorage:
    """Opens a study's journal, or begins it.

    Args:
        path: Its file.

    Raises:
        SweepError: A line of it is no record of Optuna's.
    """
    lock = JournalLock(path)
    backend = NumberingBackend(str(path), lock)
    lock.acquire()
    try:
        storage = JournalStorage(backend)
        _check_last_line(path)
    except DAMAGED as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise SweepError(
            f"{path} must be a journal of whole lines, but got {type(error).__name__} in line "
            f"{backend.line}: {reason}; without its last good lines the study cannot go on."
        ) from None
    finally:
        lock.release()
    return storage


def _check_last_line(path: Path) -> None:
    """Raises a ValueError where it is no JSON, over which Optuna passes until one follows it."""
    with path.open("rb") as stream:
        if end := stream.seek(0, os.SEEK_END):
            json.loads(_line_before(stream, end))
