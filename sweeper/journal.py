"""The journal file of a study: Optuna's, kept whole through kills and full disks."""

import fcntl
import json
import os
from pathlib import Path
from typing import IO, Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

JOURNAL_FILE = "study.journal"


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
        self._stream = self._path.open("a")
        fcntl.flock(self._stream, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Lets the next process write."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class Journal(JournalFileBackend):
    """A file of whole lines: what a full disk or a kill cut short is taken away again.

    Optuna's own appends to a line that was cut short, and can read nothing after it.

    Args:
        folder: The study's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self._own_lock = FlockLock(folder / f"{JOURNAL_FILE}.lock")
        super().__init__(str(self.path), self._own_lock)
        self._own_lock.acquire()
        try:
            self._cut_torn_line()
        finally:
            self._own_lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Writes all of the logs, or none."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._own_lock.acquire()
        try:
            self._cut_torn_line()
            before = self.path.stat().st_size
            try:
                self._write(lines)
            except OSError:
                os.truncate(self.path, before)
                raise
        finally:
            self._own_lock.release()

    def _write(self, lines: str) -> None:
        with self.path.open("ab") as stream:
            stream.write(lines.encode())
            stream.flush()
            os.fsync(stream.fileno())

    def _cut_torn_line(self) -> None:
        """Only under the lock: what has no end yet is nobody's any more."""
        with self.path.open("rb+") as stream:
            if stream.seek(0, os.SEEK_END) == 0:
                return
            stream.seek(-1, os.SEEK_END)
            if stream.read() != b"\n":
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)
