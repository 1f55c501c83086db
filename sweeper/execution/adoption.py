"""Jobs that an earlier controller started and that still run."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from sweeper.errors import SweepError
from sweeper.execution.executor import Ending, Job, JobEnd, Pack
from sweeper.execution.lease import LeaseWatch
from sweeper.record import read_record

LOOK_EVERY = 0.2
"""Seconds between looks at an adopted job's lease."""


def adopt(pack: Pack, watches: Sequence[LeaseWatch]) -> "Future[list[JobEnd]]":
    """Waits for a job that this process did not start.

    Args:
        pack: Its trials and their directories.
        watches: Say which of them live.

    Returns:
        Done when every trial has left its record or is gone.
    """
    future: Future[list[JobEnd]] = Future()

    def wait() -> None:
        while any(watch.is_alive() for watch in watches):
            time.sleep(LOOK_EVERY)
        future.set_result([_end_of(job) for job in pack])

    threading.Thread(target=wait, daemon=True).start()
    return future


def _end_of(job: Job) -> JobEnd:
    try:
        record = read_record(job.directory)
    except (SweepError, OSError) as error:  # in this thread nobody would hear it
        return JobEnd(ending=Ending.refused, reason=str(error))
    if record is None:
        return JobEnd(ending=Ending.lost, reason="its process is gone")
    return JobEnd(ending=Ending.returned)
