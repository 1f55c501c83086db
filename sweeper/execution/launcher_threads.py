"""Hydra's launchers, one job at a time in each slot, so that no slot waits for another."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from hydra.plugins.launcher import Launcher

from sweeper.execution.executor import Ending, Job, JobEnd
from sweeper.execution.hydra_job import end_of_job, job_overrides


class LauncherThreads:
    """Runs each job as a batch of one, in a thread of its own.

    Args:
        launcher: One of Hydra's launchers that runs jobs outside this process.
        shut_down: Gives back what the launcher holds.
    """

    def __init__(self, launcher: Launcher, shut_down: Callable[[], None] | None = None) -> None:
        self._launcher = launcher
        self._shut_down = shut_down

    def submit(self, slot: int, job: Job) -> "Future[JobEnd]":  # noqa: ARG002  (all are alike)
        """Launches the job."""
        future: Future[JobEnd] = Future()

        def launch() -> None:
            future.set_result(launched(self._launcher, job))

        threading.Thread(target=launch, daemon=True).start()
        return future

    def kill(self) -> None:
        """Leaves the jobs to themselves: no launcher lets go of one, and each was told to stop."""

    def close(self) -> None:
        """Shuts the launcher down."""
        if self._shut_down is not None:
            self._shut_down()


def launched(launcher: Launcher, job: Job) -> JobEnd:
    """Runs a job through a launcher to its end.

    A job's own exception comes back in its return; what the launcher raises says that the job's
    process is gone (each launcher has an exception of its own for that).
    """
    try:
        [ended] = launcher.launch([job_overrides(job)], initial_job_idx=job.trial.number)
    except Exception as error:  # noqa: BLE001  (the launchers share no base class)
        return JobEnd(ending=Ending.lost, reason=f"{type(error).__name__}: {error}")
    return end_of_job(ended, job.directory)
