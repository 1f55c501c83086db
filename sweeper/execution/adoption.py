"""Jobs that an earlier controller started and that still run."""

import threading
import time
from concurrent.futures import Future

from sweeper.execution.executor import Ending, Job, JobEnd, Pack, answer
from sweeper.execution.hydra_job import directories_of
from sweeper.execution.lease import watch_of
from sweeper.record import read_record

LOOK_EVERY = 0.2
"""Seconds between looks at an adopted job's lease."""


def adopt(pack: Pack) -> "Future[list[JobEnd]]":
    """Waits for a job that this process did not start.

    Args:
        pack: Its trials and their directories.

    Returns:
        Done when every trial has left its record or is gone.
    """
    future: Future[list[JobEnd]] = Future()

    def ends() -> list[JobEnd]:
        while any(watch_of(job.directory).is_alive() for job in pack):
            time.sleep(LOOK_EVERY)
        return [_end_of(job) for job in pack]

    asked = (future, directories_of(pack), ends)
    threading.Thread(target=answer, args=asked, daemon=True).start()
    return future


def _end_of(job: Job) -> JobEnd:
    if read_record(job.directory) is None:
        return JobEnd(ending=Ending.lost, reason="its process is gone")
    return JobEnd(ending=Ending.returned)
