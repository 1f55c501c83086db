"""Hydra's launchers, one job at a time in each slot, so that no slot waits for another."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf.errors import OmegaConfBaseException

from sweeper.config_errors import describe
from sweeper.execution.executor import Ending, JobEnd, Pack, answer
from sweeper.execution.hydra_job import directories_of, ends_of_job, job_overrides
from sweeper.execution.lease import lease_path, watch_of
from sweeper.record import Ticket

LOOK_EVERY = 1.0
"""Seconds between looks at a job's lease."""
NOTICED_WITHIN = 20.0
"""Seconds in which a launcher says that a job has ended."""
ASK_QUEUE_EVERY = 10.0
"""Seconds between questions to a queue, which serves others too."""
UNQUEUED_FOR = 120.0
"""Seconds without a place in the queue, nor a lease, after which a job counts as cancelled: NFS
may show a file up to a minute late, and a busy queue takes a while to accept a job."""
LONGEST = 200
"""Characters of a launcher's error that are kept: Ray's go on for pages."""


class JobLauncher(Protocol):
    """Where one job is launched."""

    launcher: Launcher
    """One of Hydra's that runs jobs outside this process."""

    def is_queued(self) -> bool | None:
        """Whether the job has a place in a queue; None where none says so."""
        ...


class LauncherThreads:
    """Runs each job as a batch of one, in a thread of its own.

    Args:
        launcher_of: What launches a job.
        shut_down: Gives back what the launchers hold.
    """

    def __init__(
        self,
        launcher_of: Callable[[Pack], JobLauncher],
        shut_down: Callable[[], None] | None = None,
    ) -> None:
        self._launcher_of = launcher_of
        self._shut_down = shut_down

    def submit(self, slot: int, pack: Pack) -> "Future[list[JobEnd]]":  # noqa: ARG002  (all alike)
        """Launches the job."""
        ended: Future[list[JobEnd]] = Future()
        future: Future[list[JobEnd]] = Future()
        job = self._launcher_of(pack)

        directories = directories_of(pack)
        launch = (ended, directories, lambda: launched(job.launcher, pack))
        watch = (future, directories, lambda: end_or_loss(ended, directories, job.is_queued))
        for asked in (launch, watch):
            threading.Thread(target=answer, args=asked, daemon=True).start()
        return future

    def kill(self) -> None:
        """Leaves the jobs to themselves: no launcher lets go of one, and each was told to stop."""

    def close(self) -> None:
        """Shuts the launcher down."""
        if self._shut_down is not None:
            self._shut_down()


def end_or_loss(
    ended: "Future[list[JobEnd]]",
    directories: Sequence[Path],
    is_queued: Callable[[], bool | None],
) -> list[JobEnd]:
    """Waits for a launcher, or for a job that is gone without its launcher's noticing.

    Slurm without accounting, for one, never says that a job was killed, or cancelled before it
    began.

    Args:
        ended: What the launcher says.
        directories: Of the job's trials.
        is_queued: Whether the job has a place in a queue; None where nobody says so.
    """
    leases = [lease_path(each, Ticket.read(each).attempt) for each in directories]
    gone_since, has_begun, queue = None, False, _QueueWatch(is_queued)
    while True:
        try:
            return ended.result(LOOK_EVERY)
        except TimeoutError:
            is_alive = any(watch_of(directory).is_alive() for directory in directories)
        # A job that was killed between two looks leaves its lease.
        has_begun = has_begun or is_alive or any(lease.exists() for lease in leases)
        if not has_begun and queue.has_lost_it():
            return _loss("it was cancelled before it began", directories)
        if is_alive or not has_begun:
            gone_since = None
            continue
        gone_since = gone_since or time.monotonic()
        if time.monotonic() - gone_since > NOTICED_WITHIN:
            return _loss("its process is gone", directories)


def _loss(reason: str, directories: Sequence[Path]) -> list[JobEnd]:
    return [JobEnd(ending=Ending.lost, reason=reason)] * len(directories)


class _QueueWatch:
    """Tells whether a job has been without a place in a queue for too long."""

    def __init__(self, is_queued: Callable[[], bool | None]) -> None:
        self._is_queued = is_queued
        self._asked = self._there = time.monotonic()

    def has_lost_it(self) -> bool:
        """Whether it has; asks the queue now and then."""
        now = time.monotonic()
        if now - self._asked >= ASK_QUEUE_EVERY:
            self._asked = now
            if self._is_queued() is not False:
                self._there = now
        return now - self._there > UNQUEUED_FOR


def launched(launcher: Launcher, pack: Pack) -> list[JobEnd]:
    """Runs a pack through a launcher to its end.

    A job's own exception comes back in its return; what the launcher raises says that the job's
    process is gone (each launcher has an exception of its own for that).
    """
    # A job may start in another working directory than this process's.
    first = replace(pack[0], directory=pack[0].directory.resolve())
    try:
        [ended] = launcher.launch([job_overrides(first)], initial_job_idx=first.trial.number)
    except (HydraException, OmegaConfBaseException) as error:
        return [JobEnd(ending=Ending.refused, reason=describe(error))] * len(pack)
    except BaseException as error:  # noqa: BLE001  (joblib hands on a job's sys.exit)
        return [JobEnd(ending=Ending.lost, reason=_one_line(error))] * len(pack)
    return ends_of_job(ended, directories_of(pack))


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:LONGEST]}"
