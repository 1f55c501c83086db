"""One slot in this process: no worker to start, and a debugger sees everything."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from sweeper.execution.executor import Ending, Job, JobEnd
from sweeper.record import read_record


class InProcess:
    """Runs jobs in the calling thread, one after another.

    Args:
        run: Runs a job and says how it ended.
    """

    def __init__(self, run: Callable[[Job], JobEnd]) -> None:
        self._run = run

    def submit(self, slot: int, job: Job) -> "Future[JobEnd]":  # noqa: ARG002  (there is one)
        """Runs the job to its end; the future that comes back is done."""
        end = self._run(job)
        if end.ending is Ending.returned and read_record(job.directory) is None:
            end = replace(end, ending=Ending.stopped)
        future: Future[JobEnd] = Future()
        future.set_result(end)
        return future

    def kill(self) -> None:
        """Nothing runs when this is called."""

    def close(self) -> None:
        """Holds nothing."""
