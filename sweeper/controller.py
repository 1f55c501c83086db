"""The loop of a sweep: ask a cell for its next trial, run it, tell what came."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from optuna.distributions import FloatDistribution

from analysis.records import State
from sweeper.cells import Cell
from sweeper.errors import SweepError
from sweeper.progress import Need, NextTrial, next_trial
from sweeper.record import TICKET_FILE, Ticket, read_record, utc_now, write_record
from sweeper.space import SearchSpace
from sweeper.study_folder import STOP_FILE, trial_directory_name
from sweeper.trial_book import BookedTrial, TrialBook

Runner = Callable[[BookedTrial, Cell, Path], None]
"""Runs one trial in its directory, where it leaves `result.json`; raises where it fails."""


class Watcher(Protocol):
    """What is shown while a sweep runs."""

    def trial_started(self, trial: BookedTrial, cell: Cell, directory: Path) -> None:
        """A trial begins, or goes on."""

    def trial_ended(self, trial: BookedTrial, cell: Cell, record: Mapping[str, Any]) -> None:
        """A trial has its record."""


class SweepInterruptedError(Exception):
    """The user or the system asked the sweep to stop; it is resumable."""


@dataclass(kw_only=True)
class Controller:
    """Runs a study's trials one after another until every cell needs nothing more."""

    cells: Sequence[Cell]
    space: SearchSpace
    book: TrialBook
    folder: Path
    run: Runner
    watcher: Watcher
    distribution: Callable[[Cell], FloatDistribution]
    """Where alpha is searched in a cell."""
    started: float = field(default_factory=time.monotonic)
    trials_run: int = 0

    def run_all(self) -> dict[str, Need]:
        """Runs until nothing more is needed or allowed.

        Returns:
            For each cell whether its goal is reached (`nothing`) or its budget spent.

        Raises:
            SweepInterruptedError: A stop was asked for; the trial goes on next time.
            SweepError: A trial's input is wrong, so that no other would do better.
        """
        self._take_in_finished()
        self._go_on_with_killed()
        outcomes: dict[str, Need] = {}
        for cell in self.cells:
            outcomes[cell.name] = self._finish_cell(cell)
        return outcomes

    def _take_in_finished(self) -> None:
        """Tells results that a killed controller did not come to tell."""
        self.book.discard_unnumbered()
        for trial in self._running():
            record = read_record(self._directory(trial))
            if record is not None:
                self.book.tell(trial, record)

    def _go_on_with_killed(self) -> None:
        by_name = {cell.name: cell for cell in self.cells}
        for trial in self._running():
            ticket = Ticket.read(self._directory(trial))
            self._execute(trial, by_name[trial.cell], attempt=ticket.attempt + 1)

    def _running(self) -> list[BookedTrial]:
        return [trial for trial in self.book.trials() if trial.is_running]

    def _finish_cell(self, cell: Cell) -> Need:
        while True:
            wanted = next_trial(cell, self._group_trials(cell), self.space)
            if wanted.need in (Need.nothing, Need.exhausted):
                return wanted.need
            if self._out_of_time(cell):
                return Need.exhausted
            self._execute(self._ask(cell, wanted), cell, retry_of=wanted.retry_of)

    def _group_trials(self, cell: Cell) -> list[BookedTrial]:
        group = {other.name for other in self.cells if other.group == cell.group}
        return [trial for trial in self.book.trials() if trial.cell in group]

    def _ask(self, cell: Cell, wanted: NextTrial) -> BookedTrial:
        if wanted.l1_alpha is not None:
            return self.book.ask_at(cell, wanted.l1_alpha, wanted.seed)
        return self.book.ask(cell, self.distribution(cell), wanted.seed)

    def _execute(
        self, trial: BookedTrial, cell: Cell, *, attempt: int = 1, retry_of: int | None = None
    ) -> None:
        if (self.folder / STOP_FILE).exists():
            raise SweepInterruptedError(f"{self.folder / STOP_FILE} is there; remove it to go on.")
        directory = self._directory(trial)
        directory.mkdir(exist_ok=True)
        if attempt == 1 or not (directory / TICKET_FILE).exists():
            ticket = self._ticket(trial, attempt, retry_of)
        else:
            ticket = Ticket.read(directory).again(attempt)
        ticket.write(directory)
        self.watcher.trial_started(trial, cell, directory)
        self.trials_run += 1
        self.run(trial, cell, directory)
        record = read_record(directory)
        if record is None:
            raise SweepInterruptedError(f"{directory.name} was stopped and has a checkpoint.")
        self.book.tell(trial, record)
        self.watcher.trial_ended(trial, cell, record)

    def _ticket(self, trial: BookedTrial, attempt: int, retry_of: int | None) -> Ticket:
        return Ticket(
            trial=trial.number,
            cell=trial.cell,
            attempt=attempt,
            retry_of=retry_of,
            predicted_l0=trial.predicted.get("predicted_l0"),
            predicted_l0_sd=trial.predicted.get("predicted_l0_sd"),
            prior_weights=trial.predicted.get("prior_weights"),
        )

    def _directory(self, trial: BookedTrial) -> Path:
        return self.folder / trial_directory_name(trial.number)

    def _out_of_time(self, cell: Cell) -> bool:
        timeout = cell.settings.sweep.timeout
        return timeout is not None and time.monotonic() - self.started > timeout


def failed_record(
    ticket: Ticket, trial: BookedTrial, cell: Cell, error: BaseException
) -> dict[str, Any]:
    """The record of a trial whose process ended without one.

    Args:
        ticket: What the job was handed.
        trial: The trial.
        cell: Its cell.
        error: What ended it.
    """
    settings = cell.settings
    return asdict(ticket) | {
        "state": State.failed.value,
        "verdict": "failure",
        "verdict_reasons": [f"failed: {type(error).__name__}: {error}"],
        "architecture": settings.sae.architecture.value,
        "latent_dim": settings.sae.latent_dim,
        "l1_alpha": trial.l1_alpha,
        "target_l0": settings.target_l0,
        "seed": trial.seed,
        "finished": utc_now(),
        "dir": trial_directory_name(trial.number),
    }


def record_failure(directory: Path, trial: BookedTrial, cell: Cell, error: BaseException) -> None:
    """Writes the record of a failed trial.

    Raises:
        SweepError: The trial did leave a record, so that it has not failed.
    """
    if read_record(directory) is not None:
        raise SweepError(f"{directory} must have no record of a failed trial, but has one.")
    write_record(directory, failed_record(Ticket.read(directory), trial, cell, error))
