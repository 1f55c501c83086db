"""The record of a trial whose job ended without leaving one."""

from pathlib import Path
from typing import Any

from analysis.records import State
from sae.checkpoint import Checkpoints
from sae.history import HISTORY_FILE, read_history
from sweeper.execution.executor import Job, JobEnd
from sweeper.record import Ticket, utc_now, write_record
from sweeper.stopped import CHECKPOINTS

ERROR_FILE = "error.txt"


def record_failure(job: Job, end: JobEnd) -> dict[str, Any]:
    """Writes the record of a failed trial, and the traceback beside it; its checkpoints go.

    Args:
        job: The trial, which left no record.
        end: What ended it.
    """
    if end.traceback:
        (job.directory / ERROR_FILE).write_text(end.traceback, encoding="utf-8")
    record = failed_record(Ticket.read(job.directory), job, end.reason)
    write_record(job.directory, record)
    Checkpoints(job.directory / CHECKPOINTS, "").remove()  # with a record it never goes on
    return record


def steps_shown(directory: Path) -> int:
    """Steps up to the last row of history.csv: what a job that ended badly had done at least."""
    return max((row.step for row in read_history(directory / HISTORY_FILE)), default=0)


def failed_record(ticket: Ticket, job: Job, reason: str) -> dict[str, Any]:
    """The record of a trial whose job ended without one.

    Args:
        ticket: What the job was handed.
        job: The trial and its cell.
        reason: What ended it.
    """
    settings = job.cell.settings
    return ticket.for_record() | {
        "trial": job.trial.number,
        "cell": job.cell.name,
        "state": State.failed.value,
        "verdict": "failure",
        "verdict_reasons": [reason],
        "architecture": settings.sae.architecture.value,
        "latent_dim": settings.sae.latent_dim,
        "l1_alpha": job.trial.l1_alpha,
        "target_l0": settings.target_l0,
        "seed": job.trial.seed,
        "steps_done": steps_shown(job.directory),
        "finished": utc_now(),
        "dir": job.directory.name,
    }
