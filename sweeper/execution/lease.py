"""One writer per trial directory: a lock, a lease with a heartbeat, and a word to stop.

The lock (`trial.lock`, flock) goes with its process, so that on one machine it says at once and
for sure whether a trial is being run. Between machines a lock may not reach, so the job also
touches its lease file again and again: a lease that has not moved for a minute is dead. Its name
holds the attempt and it is made exclusively, so that of two jobs for one attempt only one starts;
whoever takes over deletes the older lease, and a job that finds its own gone writes nothing more.
"""

import functools
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from sae.stop_signal import StopSignal
from sweeper.errors import SweepError
from sweeper.file_lock import lock_file, unlock_file

LOCK_FILE = "trial.lock"
STOP_FILE = "stop"
SLOT_VARIABLE = "SAE_SWEEP_SLOT"

BEAT_EVERY = 1.0
"""Seconds between heartbeats, and between looks for the word to stop."""
STALE_AFTER = 60.0
"""Seconds without a heartbeat after which another machine's job counts as dead; NFS may show a
file's time up to a minute late, but not to a reader that opens the file, as the watch does."""
LOCK_PATIENCE = 2.0
"""Seconds in which an observer that tries the lock lets go of it again."""


class LeaseHeldError(SweepError):
    """Another live job has the directory."""


class LeaseLostError(SweepError):
    """This job's directory was given to another job, or deleted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Who holds a lease."""

    token: str
    host: str
    boot: str
    """Identifies the running kernel: locks are conclusive within one."""
    pid: int
    attempt: int
    slot: int | None

    @staticmethod
    def here(attempt: int) -> "Owner":
        """This process."""
        slot = os.environ.get(SLOT_VARIABLE)
        return Owner(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            boot=_boot(),
            pid=os.getpid(),
            attempt=attempt,
            slot=None if slot is None else int(slot),
        )

    def is_on_this_machine(self) -> bool:
        """Whether this process and the owner share a kernel."""
        return self.boot == _boot()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return socket.gethostname()


class Lease:
    """A job's hold on its directory; see `hold`.

    Attributes:
        stop: Set when the controller asks the job to stop. Reading it raises `LeaseLostError`
            once the directory is no longer this job's.
    """

    def __init__(self, directory: Path, owner: Owner, process: StopSignal) -> None:
        self._directory = directory
        self._owner = owner
        self._path = lease_path(directory, owner.attempt)
        self._beaten = time.monotonic()
        self._lost = False
        self._done = threading.Event()
        self.stop: StopSignal = _LeaseStop(self, process)

    def check(self) -> None:
        """Raises where the directory is no longer this job's; cheap while heartbeats succeed.

        Raises:
            LeaseLostError: It was given to another job, or deleted.
        """
        if time.monotonic() - self._beaten > STALE_AFTER / 2:
            self.beat()
        if self._lost:
            raise LeaseLostError(
                f"{self._directory.name} must be run by one job, but another took it over "
                "or it was deleted."
            )

    def beat(self) -> None:
        """Looks whether the lease is still this job's, and says that the job lives."""
        try:
            owner = read_owner(self._path)
            os.utime(self._path)
        except FileNotFoundError:
            self._lost = True
            return
        except OSError:  # a file server that is away for a moment
            return
        if owner != self._owner:
            self._lost = True
        self._beaten = time.monotonic()

    def beat_until_released(self) -> None:
        """The heartbeat thread."""
        while not self._done.wait(BEAT_EVERY):
            self.beat()
            with suppress(OSError):  # a file server that is away for a moment
                if (self._directory / STOP_FILE).exists():
                    self.stop.request("the controller")

    def release(self) -> None:
        """Ends the heartbeat and drops the lease, if it is still this job's."""
        self._done.set()
        with suppress(FileNotFoundError):
            if read_owner(self._path) == self._owner:
                self._path.unlink()


class _LeaseStop(StopSignal):
    """A stop signal that is read at every step, and so keeps a job without lease from writing."""

    def __init__(self, lease: Lease, process: StopSignal) -> None:
        self._lease = lease
        self._process = process
        self._requested = False
        super().__init__()

    @property
    def requested(self) -> bool:  # type: ignore[override]
        self._lease.check()
        if self._process.requested and not self._requested:
            self.request(self._process.reason)
        return self._requested

    @requested.setter
    def requested(self, value: bool) -> None:
        self._requested = value


@contextmanager
def hold(directory: Path, attempt: int, process: StopSignal | None = None) -> Generator[Lease]:
    """Holds a trial's directory for the block.

    Args:
        directory: The trial's directory, made if absent.
        attempt: How often the trial was started, this time included: a higher one takes over.
        process: Asks every job of this process to stop, as the lease's own signal asks this one.

    Raises:
        LeaseHeldError: A live job has the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a") as lock:
        if not _locked(lock, LOCK_PATIENCE):
            raise _held(directory)
        try:
            yield from _held_by(directory, Owner.here(attempt), process or StopSignal())
        finally:
            unlock_file(lock)


def _held_by(directory: Path, owner: Owner, process: StopSignal) -> Generator[Lease]:
    lease = _take(directory, owner, process)
    if (directory / STOP_FILE).exists():
        lease.stop.request("the controller")
    threading.Thread(target=lease.beat_until_released, daemon=True).start()
    try:
        yield lease
    finally:
        lease.release()


def _take(directory: Path, owner: Owner, process: StopSignal) -> Lease:
    path = lease_path(directory, owner.attempt)
    with suppress(FileNotFoundError):
        if read_owner(path).is_on_this_machine():
            path.unlink()  # this process has the lock, so that one is dead
    try:
        with path.open("x") as stream:
            json.dump(asdict(owner), stream)
    except FileExistsError:
        raise _held(directory) from None
    for other in directory.glob("lease_*.json"):
        if other < path:
            other.unlink(missing_ok=True)
        elif other > path:
            path.unlink()
            raise _held(directory)
    return Lease(directory, owner, process)


def lease_path(directory: Path, attempt: int) -> Path:
    """Where the lease of an attempt is."""
    return directory / f"lease_{attempt:05d}.json"


def _held(directory: Path) -> LeaseHeldError:
    owner = current_owner(directory)
    whose = "another process" if owner is None else f"process {owner.pid} on {owner.host}"
    return LeaseHeldError(f"{directory.name} must be run by one job, but {whose} is running it.")


def read_owner(path: Path) -> Owner:
    """Who wrote a lease; an unfinished file belongs to nobody.

    Raises:
        FileNotFoundError: There is no such lease.
    """
    try:
        return Owner(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        return Owner(token="", host="unknown", boot="", pid=0, attempt=0, slot=None)


def current_owner(directory: Path) -> Owner | None:
    """The owner of the newest lease in a directory, live or dead."""
    for path in sorted(directory.glob("lease_*.json"), reverse=True):
        with suppress(FileNotFoundError):
            return read_owner(path)
    return None


def _locked(stream: IO[str], patience: float) -> bool:
    """Whether the lock could be had within so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            lock_file(stream, waits=False)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _is_held(stream: IO[str]) -> bool:
    """Whether a job has the lock; observers do not take each other for one."""
    try:
        lock_file(stream, waits=False, is_shared=True)
    except BlockingIOError:
        return True
    unlock_file(stream)
    return False


@functools.cache
def watch_of(directory: Path) -> "LeaseWatch":
    """This process's one watch of a directory.

    That another machine's job is dead shows only to who has looked before: with a new watch for
    every question it would live for ever.

    Args:
        directory: A trial's, or a command's.
    """
    return LeaseWatch(directory)


class LeaseWatch:
    """Tells from outside whether a directory's job is alive; see `watch_of`.

    Args:
        directory: The trial's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: tuple[str, int] | None = None
        self._moved = self._shown_alive = time.monotonic()

    def is_alive(self) -> bool:
        """Whether a job holds the directory at this moment."""
        try:
            is_alive = self._shows_life()
        except OSError:  # a file server that is away for a moment: nothing new
            return time.monotonic() - self._shown_alive < STALE_AFTER
        if is_alive:
            self._shown_alive = time.monotonic()
        return is_alive

    def _shows_life(self) -> bool:
        try:
            with (self._directory / LOCK_FILE).open("r+") as lock:
                if _is_held(lock):
                    return True
        except FileNotFoundError:
            return False
        owner = current_owner(self._directory)
        if owner is None or owner.is_on_this_machine():
            return False
        return self._has_moved(owner)

    def _has_moved(self, owner: Owner) -> bool:
        """By the lease's own changes and this process's clock: no two clocks are compared."""
        try:
            with lease_path(self._directory, owner.attempt).open() as stream:
                now = (owner.token, os.fstat(stream.fileno()).st_mtime_ns)
        except FileNotFoundError:
            return False
        if now != self._seen:
            self._seen, self._moved = now, time.monotonic()
        return time.monotonic() - self._moved < STALE_AFTER


def ask_to_stop(directory: Path) -> None:
    """Asks a directory's job, wherever it runs, to write a checkpoint and end."""
    with suppress(FileNotFoundError):
        (directory / STOP_FILE).touch()


def may_start(directory: Path) -> None:
    """Takes the word to stop back."""
    (directory / STOP_FILE).unlink(missing_ok=True)
