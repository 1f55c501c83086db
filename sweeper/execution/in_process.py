"""One slot in this process: no worker to start, and a debugger sees everything."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from sweeper.execution.executor import Ending, Job, JobEnd, Pack
from sweeper.record import read_record


class InProcess:
    """Runs jobs in the calling thread, one after another.

    Args:
        run: Runs a pack of trials and says how each ended.
    """

    def __init__(self, run: Callable[[Pack], list[JobEnd]]) -> None:
        self._run = run

    def submit(self, slot: int, pack: Pack) -> "Future[list[JobEnd]]":  # noqa: ARG002  (one slot)
        """Runs the job to its end; the future that comes back is done."""
        future: Future[list[JobEnd]] = Future()
        future.set_result(
            [_judged(job, end) for job, end in zip(pack, self._run(pack), strict=True)]
        )
        return future

    def kill(self) -> None:
        """Nothing runs when this is called."""

    def close(self) -> None:
        """Holds nothing."""


def _judged(job: Job, end: JobEnd) -> JobEnd:
    """A trial that left no record was stopped, and this process with it."""
    if end.ending is Ending.returned and read_record(job.directory) is None:
        return replace(end, ending=Ending.stopped)
    return end
