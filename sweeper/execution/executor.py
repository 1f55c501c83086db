"""What runs trials: slots that take one job each, and answer with how it ended."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from sae.errors import MemoryTooSmallError
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.execution.lease import LeaseHeldError, LeaseLostError
from sweeper.settings import USER_ERRORS, Settings
from sweeper.study_folder import is_of_the_disk, unusable_folder
from sweeper.texts import writable


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One trial to run, in its directory, where it leaves `result.json`."""

    trial: BookedTrial
    cell: Cell
    directory: Path

    @property
    def settings(self) -> Settings:
        """The whole configuration of the trial."""
        settings = replace(self.cell.candidate(self.trial.params), seed=self.trial.seed)
        if settings.sae.architecture.sets_l0:
            return settings
        return replace(settings, l1_alpha=self.trial.l1_alpha)


Pack = tuple[Job, ...]
"""Trials that one job trains together, mostly one; the job starts in the first one's directory."""


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

    @staticmethod
    def from_plain(content: Mapping[str, Any]) -> "JobEnd":
        """From what `dataclasses.asdict` made of one."""
        return JobEnd(**{**content, "ending": Ending(content["ending"])})


class Executor(Protocol):
    """Runs one pack per slot; the controller keeps track of which slots are free."""

    def submit(self, slot: int, pack: Pack) -> "Future[list[JobEnd]]":
        """Starts a job in a free slot; its future says how each trial ended, and never raises."""
        ...

    def kill(self) -> None:
        """Ends running jobs at once, where that is in this process's power."""
        ...

    def close(self) -> None:
        """Gives back what the executor holds; no job is running."""
        ...


def answer(
    future: "Future[list[JobEnd]]", directories: Sequence[Path], ends: Callable[[], list[JobEnd]]
) -> None:
    """Completes a future from a thread, in which nobody would hear what is raised.

    Args:
        future: Waits for the ends.
        directories: Of the job's trials.
        ends: Finds out how they ended.
    """
    try:
        found = ends()
    except OSError as error:  # the study's disk: of the job itself nothing is known
        reasons = [str(unusable_folder(directory, error)) for directory in directories]
        found = [JobEnd(ending=Ending.refused, reason=reason) for reason in reasons]
    except BaseException as error:  # noqa: BLE001  (a launcher may pass on a job's sys.exit)
        found = [end_of(error, directory) for directory in directories]
    future.set_result(found)


def end_of(error: BaseException, directory: Path) -> JobEnd:
    """How a job ended that raised.

    Args:
        error: What it raised.
        directory: The trial's directory.
    """
    if isinstance(error, LeaseHeldError | LeaseLostError):
        return JobEnd(ending=Ending.lost, reason=str(error))
    if isinstance(error, OSError) and is_of_the_disk(error, directory):
        return JobEnd(ending=Ending.refused, reason=str(unusable_folder(directory, error)))
    if isinstance(error, MemoryTooSmallError):  # narrower cells may go on
        return JobEnd(ending=Ending.crashed, reason=str(error))
    if isinstance(error, USER_ERRORS):
        return JobEnd(ending=Ending.refused, reason=str(error))
    return JobEnd(
        ending=Ending.crashed,
        reason=writable(f"{type(error).__name__}: {error}"),
        traceback=writable("".join(traceback.format_exception(error))),
    )
