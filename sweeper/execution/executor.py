"""What runs trials: slots that take one job each, and answer with how it ended."""

import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sweeper.cells import Cell
from sweeper.execution.lease import LeaseHeldError, LeaseLostError
from sweeper.settings import USER_ERRORS
from sweeper.study_folder import unusable_folder
from sweeper.trial_book import BookedTrial


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One trial to run, in its directory, where it leaves `result.json`."""

    trial: BookedTrial
    cell: Cell
    directory: Path


class Ending(StrEnum):
    """How a job ended."""

    returned = "returned"
    """By itself; without `result.json` it was asked to stop and has a checkpoint."""
    stopped = "stopped"
    """With this very process, which was asked to stop."""
    refused = "refused"
    """Its input or the disk is at fault, so that other trials would do no better."""
    crashed = "crashed"
    """By an exception."""
    lost = "lost"
    """Its process is gone, or another one has its directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnd:
    """How a job ended, and why."""

    ending: Ending
    reason: str = ""
    """One line; empty where the job returned."""
    traceback: str = ""
    """Of a crash."""


class Executor(Protocol):
    """Runs one job per slot; the controller keeps track of which slots are free."""

    def submit(self, slot: int, job: Job) -> "Future[JobEnd]":
        """Starts a job in a free slot; what the future answers with is never an exception."""
        ...

    def kill(self) -> None:
        """Ends running jobs at once, where that is in this process's power."""
        ...

    def close(self) -> None:
        """Gives back what the executor holds; no job is running."""
        ...


def end_of(error: BaseException, directory: Path) -> JobEnd:
    """How a job ended that raised.

    Args:
        error: What it raised.
        directory: The trial's directory.
    """
    if isinstance(error, LeaseHeldError | LeaseLostError):
        return JobEnd(ending=Ending.lost, reason=str(error))
    if isinstance(error, OSError):
        return JobEnd(ending=Ending.refused, reason=str(unusable_folder(directory, error)))
    if isinstance(error, USER_ERRORS):
        return JobEnd(ending=Ending.refused, reason=str(error))
    return JobEnd(
        ending=Ending.crashed,
        reason=f"{type(error).__name__}: {error}",
        traceback="".join(traceback.format_exception(error)),
    )


def guarded(run: Callable[[], object], directory: Path) -> JobEnd:
    """Runs a job's function here, and says how it ended."""
    try:
        run()
    except Exception as error:  # noqa: BLE001  (whatever a job raises ends that job only)
        return end_of(error, directory)
    return JobEnd(ending=Ending.returned)
