"""Jobs that an earlier controller started and that still run."""

import threading
import time
from concurrent.futures import Future

from sweeper.execution.executor import Ending, Job, JobEnd
from sweeper.execution.lease import LeaseWatch
from sweeper.record import read_record

LOOK_EVERY = 0.2
"""Seconds between looks at an adopted job's lease."""


def adopt(job: Job, watch: LeaseWatch) -> "Future[JobEnd]":
    """Waits for a job that this process did not start.

    Args:
        job: Its trial and directory.
        watch: Says whether it lives.

    Returns:
        Done when the job has left its record or is gone.
    """
    future: Future[JobEnd] = Future()

    def wait() -> None:
        while watch.is_alive():
            time.sleep(LOOK_EVERY)
        if read_record(job.directory) is None:
            future.set_result(JobEnd(ending=Ending.lost, reason="its process is gone"))
        else:
            future.set_result(JobEnd(ending=Ending.returned))

    threading.Thread(target=wait, daemon=True).start()
    return future
