"""Reports from inside a job to its Optuna trial, so that a dashboard shows runs as they go."""

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from hydra.types import TaskFunction
from omegaconf import DictConfig
from optuna.exceptions import OptunaError
from optuna.trial import Trial

from analysis.sources import JOURNAL_FILE
from sae.history import HistoryRow
from sweeper.errors import SweepError
from sweeper.messages import say
from sweeper.patience import no_answer
from sweeper.record import Ticket
from sweeper.storage import storage_for

STORAGE_VARIABLE = "SAE_SWEEP_STORAGE"
"""Environment variable with the URL of the storage. A password in it must not reach any file, so
that it is neither in the ticket nor among a job's overrides."""
REPORTS = 10
"""Of a run, at most: every report of every job is a line in one journal."""


@contextmanager
def known_to_jobs(url: str | None) -> Generator[None]:
    """Within the block, processes that are started inherit the storage's URL.

    Args:
        url: Of the storage; None for the study's journal, which a job finds by itself.
    """
    before = os.environ.pop(STORAGE_VARIABLE, None)
    if url is not None:
        os.environ[STORAGE_VARIABLE] = url
    try:
        yield
    finally:
        os.environ.pop(STORAGE_VARIABLE, None)
        if before is not None:
            os.environ[STORAGE_VARIABLE] = before


@dataclass(frozen=True, slots=True)
class KnowsStorage:
    """A task that brings the storage's URL along, to where no environment is inherited."""

    task_function: TaskFunction
    url: str = field(repr=False)

    def __call__(self, config: DictConfig) -> Any:
        """Runs the task where its reporter finds the URL."""
        with known_to_jobs(self.url):
            return self.task_function(config)


class Reporter:
    """Reports L0 to a trial of an Optuna study, about every tenth of the run.

    Args:
        open_trial: Gives the trial, when it is first needed, and the last step that it was told.
        total_steps: Length of the run.
        close: Gives back what opening took.
    """

    def __init__(
        self,
        open_trial: Callable[[], tuple[Trial, int]],
        total_steps: int,
        close: Callable[[], None],
    ) -> None:
        self.close = close
        self._open = open_trial
        self._trial: Trial | None = None
        self._told = 0
        self._interval = total_steps / REPORTS
        self._next = self._interval
        self._works = True

    def __call__(self, row: HistoryRow) -> None:
        """Reports the row if it is due; where the storage fails, says so once and stops."""
        if not self._works or row.step < self._next:
            return
        self._next = (row.step // self._interval + 1) * self._interval
        try:
            if self._trial is None:
                self._trial, self._told = self._open()
            if row.step > self._told:  # an earlier attempt went further than its checkpoint
                self._trial.report(row.l0, row.step)
        except (*no_answer(), OptunaError, SweepError, OSError, LookupError) as error:
            self._works = False
            say(f"no more reports to the study's storage: {type(error).__name__}: {error}")


def reporter_for(ticket: Ticket, directory: Path, total_steps: int) -> Reporter | None:
    """The reporter of a trial; None where the run stands alone.

    Args:
        ticket: Names the study and the trial.
        directory: The trial's; the study's journal is beside it unless the environment names
            another storage.
        total_steps: Length of the run.
    """
    study, number = ticket.study, ticket.optuna_number
    if study is None or number is None:
        return None

    opened_for_this_run = ExitStack()  # a worker runs many trials, and a server has few places

    def open_trial() -> tuple[Trial, int]:
        url = os.environ.get(STORAGE_VARIABLE)
        if url is None and not (directory.parent / JOURNAL_FILE).exists():
            raise SweepError(f"{STORAGE_VARIABLE} must be in a job's environment, but is not.")
        storage = opened_for_this_run.enter_context(storage_for(url, directory.parent))
        opened = optuna.load_study(study_name=study, storage=storage)
        frozen = opened.get_trials(deepcopy=False)[number]
        # Optuna offers no public way to a running trial of another process.
        trial = Trial(opened, frozen._trial_id)  # pyright: ignore[reportPrivateUsage]
        return trial, max(frozen.intermediate_values, default=0)

    return Reporter(open_trial, total_steps, opened_for_this_run.close)
