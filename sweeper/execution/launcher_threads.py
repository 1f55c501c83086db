"""Hydra's launchers, one job at a time in each slot, so that no slot waits for another."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf.errors import OmegaConfBaseException

from sweeper.config_errors import describe
from sweeper.execution.executor import Ending, JobEnd, Pack
from sweeper.execution.hydra_job import directories_of, ends_of_job, job_overrides
from sweeper.execution.lease import LeaseWatch, lease_path
from sweeper.record import Ticket

LOOK_EVERY = 1.0
"""Seconds between looks at a job's lease."""
NOTICED_WITHIN = 20.0
"""Seconds in which a launcher says that a job has ended."""
LONGEST = 200
"""Characters of a launcher's error that are kept: Ray's go on for pages."""


class LauncherThreads:
    """Runs each job as a batch of one, in a thread of its own.

    Args:
        launcher: One of Hydra's launchers that runs jobs outside this process.
        shut_down: Gives back what the launcher holds.
    """

    def __init__(self, launcher: Launcher, shut_down: Callable[[], None] | None = None) -> None:
        self._launcher = launcher
        self._shut_down = shut_down

    def submit(self, slot: int, pack: Pack) -> "Future[list[JobEnd]]":  # noqa: ARG002  (all alike)
        """Launches the job."""
        ended: Future[list[JobEnd]] = Future()
        future: Future[list[JobEnd]] = Future()

        def launch() -> None:
            ended.set_result(launched(self._launcher, pack))

        def watch() -> None:
            future.set_result(end_or_loss(ended, directories_of(pack)))

        for task in (launch, watch):
            threading.Thread(target=task, daemon=True).start()
        return future

    def kill(self) -> None:
        """Leaves the jobs to themselves: no launcher lets go of one, and each was told to stop."""

    def close(self) -> None:
        """Shuts the launcher down."""
        if self._shut_down is not None:
            self._shut_down()


def end_or_loss(ended: "Future[list[JobEnd]]", directories: Sequence[Path]) -> list[JobEnd]:
    """Waits for a launcher, or for a job that is gone without its launcher's noticing.

    Slurm without accounting, for one, never says that a job was killed.

    Args:
        ended: What the launcher says.
        directories: Of the job's trials.
    """
    watches = [LeaseWatch(directory) for directory in directories]
    leases = [lease_path(each, Ticket.read(each).attempt) for each in directories]
    gone_since, has_begun = None, False
    while True:
        try:
            return ended.result(LOOK_EVERY)
        except TimeoutError:
            is_alive = any(watch.is_alive() for watch in watches)
        # A job that was killed between two looks leaves its lease.
        has_begun = has_begun or is_alive or any(lease.exists() for lease in leases)
        if is_alive or not has_begun:
            gone_since = None
            continue
        gone_since = gone_since or time.monotonic()
        if time.monotonic() - gone_since > NOTICED_WITHIN:
            return [JobEnd(ending=Ending.lost, reason="its process is gone")] * len(directories)


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
    except Exception as error:  # noqa: BLE001  (the launchers share no base class)
        return [JobEnd(ending=Ending.lost, reason=_one_line(error))] * len(pack)
    return ends_of_job(ended, directories_of(pack))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:LONGEST]}"
