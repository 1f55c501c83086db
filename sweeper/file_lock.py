"""Locks on files that go with their process; not every disk has them."""

import errno
import fcntl
from pathlib import Path
from typing import IO

from sweeper.errors import SweepError

LACKING = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a disk without locks answers, such as Lustre that is mounted without `-o flock`."""


def lock_file(stream: IO[str], *, waits: bool, is_shared: bool = False) -> None:
    """Locks an open file until `unlock_file`, or until its process ends.

    Args:
        stream: The file.
        waits: Whether another process's lock is waited for.
        is_shared: Whether others may have a shared lock at the same time.

    Raises:
        BlockingIOError: Another process has the lock, and `waits` is false.
        SweepError: The file's disk has no locks.
    """
    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    try:
        fcntl.flock(stream, kind | (0 if waits else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in LACKING:
            raise
        raise SweepError(
            f"{Path(stream.name).parent} must be on a disk with file locks (flock), "
            f"but got: {error.strerror}."
        ) from None


def unlock_file(stream: IO[str]) -> None:
    """Gives a lock back; to close the file does not, where a process was forked meanwhile."""
    fcntl.flock(stream, fcntl.LOCK_UN)
