"""The loop of a sweep: fill the free slots, wait for the first trial to end, tell what came."""

import concurrent.futures
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from optuna.distributions import FloatDistribution

from sweeper.cells import Cell
from sweeper.errors import SweepError
from sweeper.execution.adoption import adopt
from sweeper.execution.executor import Ending, Executor, Job, JobEnd
from sweeper.execution.interruption import Interruption
from sweeper.execution.lease import LeaseWatch, ask_to_stop, current_owner, may_start
from sweeper.failure import record_failure
from sweeper.progress import Need, NextTrial, next_trial
from sweeper.record import TICKET_FILE, Ticket, read_record
from sweeper.space import SearchSpace
from sweeper.study_folder import STOP_FILE, trial_directory_name
from sweeper.trial_book import BookedTrial, TrialBook

LOOK_EVERY = 0.5
"""Seconds between looks for a signal while all slots are busy."""


class Watcher(Protocol):
    """What is shown while a sweep runs."""

    def trial_started(self, trial: BookedTrial, cell: Cell, directory: Path) -> None:
        """A trial begins, or goes on."""

    def trial_ended(self, trial: BookedTrial, cell: Cell, record: Mapping[str, Any]) -> None:
        """A trial has its record."""

    def trial_lost(self, trial: BookedTrial, reason: str) -> None:
        """A trial's process is gone; the trial will be started again."""


class SweepInterruptedError(Exception):
    """The user or the system asked the sweep to stop; it is resumable."""


@dataclass(kw_only=True)
class Controller:
    """Runs a study's trials until every cell needs nothing more."""

    cells: Sequence[Cell]
    space: SearchSpace
    book: TrialBook
    folder: Path
    executor: Executor
    watcher: Watcher
    distribution: Callable[[Cell], FloatDistribution]
    """Where alpha is searched in a cell."""
    slots: int = 1
    started: float = field(default_factory=time.monotonic)
    trials_run: int = 0
    _running: dict["Future[JobEnd]", tuple[int, Job]] = field(init=False, default_factory=dict)
    """Each running job with its slot."""
    _unfinished: deque[BookedTrial] = field(init=False, default_factory=deque)
    """Trials that were begun and have no job: they go before new ones."""
    _losses: Counter[int] = field(init=False, default_factory=Counter)
    _interruption: Interruption = field(init=False, default_factory=Interruption)
    _halt: Exception | None = field(init=False, default=None)
    """Why nothing more is started; raised once the running trials have ended."""

    def run_all(self) -> dict[str, Need]:
        """Runs until nothing more is needed or allowed.

        Returns:
            For each cell whether its goal is reached (`nothing`) or its budget spent.

        Raises:
            SweepInterruptedError: A stop was asked for; the trials go on next time.
            SweepError: A trial's input is wrong, so that no other would do better.
            KeyboardInterrupt: A second signal; running trials were not waited for.
        """
        finished = False
        try:
            with self._interruption.on_signals():
                self._take_in_unfinished()
                self._fill()
                while self._running:
                    self._collect()
                    self._fill()
            finished = True
        finally:
            if not finished:
                self.executor.kill()
            self.executor.close()
        if self._halt is not None:
            raise self._halt
        return {cell.name: self._outcome(cell) for cell in self.cells}

    def _take_in_unfinished(self) -> None:
        """Tells results that an earlier controller did not come to tell; live jobs come first."""
        self.book.heal()
        alive: list[BookedTrial] = []
        for trial in self.book.trials():
            if not trial.is_running:
                continue
            record = read_record(self._directory(trial))
            if record is not None:
                self.book.tell(trial, record)
            elif LeaseWatch(self._directory(trial)).is_alive():
                alive.append(trial)
            else:
                self._unfinished.append(trial)
        self._unfinished.extendleft(reversed(alive))

    def _fill(self) -> None:
        """Starts what is wanted, as long as a slot is free and nothing speaks against it."""
        while self._may_go_on() and len(self._running) < self.slots:
            if self._unfinished:
                self._go_on_with(self._unfinished.popleft())
                continue
            wanted = self._next_wanted()
            if wanted is None:
                return
            if (self.folder / STOP_FILE).exists():
                stop = self.folder / STOP_FILE
                self._halt = SweepInterruptedError(f"{stop} is there; remove it to go on.")
                return
            self._start(self._ask(*wanted), self._free_slot())

    def _may_go_on(self) -> bool:
        if self._interruption.reason and self._halt is None:
            self._stop_all(SweepInterruptedError(self._interruption_words()))
        return self._halt is None

    def _interruption_words(self) -> str:
        names = [job.directory.name for _, job in self._running.values()]
        if not names:
            return ""
        return f"{', '.join(names)} {'were' if len(names) > 1 else 'was'} asked to stop."

    def _stop_all(self, why: Exception) -> None:
        """Lets running jobs end with a checkpoint, after which `why` is raised."""
        self._halt = why
        for _, job in self._running.values():
            ask_to_stop(job.directory)

    def _next_wanted(self) -> tuple[Cell, NextTrial] | None:
        """What the cell with the fewest running trials wants; the first one of equals."""
        trials = self.book.trials()
        groups = {cell.group: self._of_group(cell, trials) for cell in self.cells}

        def running(cell: Cell) -> int:
            return sum(trial.is_running for trial in groups[cell.group])

        for cell in sorted(self.cells, key=running):
            if self._waits(cell, trials):
                continue
            wanted = next_trial(cell, groups[cell.group], self.space)
            if wanted.need.starts_a_trial and self._budget_allows(cell, trials):
                return cell, wanted
        return None

    def _waits(self, cell: Cell, trials: Sequence[BookedTrial]) -> bool:
        """Whether a cell of shorter runs, which tells this one where to begin, goes on."""
        before = next((other for other in self.cells if other.name == cell.after), None)
        if before is None:
            return False
        own = self._of_group(before, trials)
        need = next_trial(before, own, self.space).need
        return need.starts_a_trial or any(trial.is_running for trial in own)

    def _budget_allows(self, cell: Cell, trials: Sequence[BookedTrial]) -> bool:
        sweep = cell.settings.sweep
        if sweep.timeout is not None and time.monotonic() - self.started > sweep.timeout:
            return False
        if sweep.max_steps is None:
            return True
        planned = {other.name: other.settings.trainer.total_steps for other in self.cells}
        used = sum(
            (trial.record or {}).get("steps_done") or planned[trial.cell] * trial.is_running
            for trial in trials
        )
        return used + planned[cell.name] <= sweep.max_steps

    def _of_group(self, cell: Cell, trials: Sequence[BookedTrial]) -> list[BookedTrial]:
        group = {other.name for other in self.cells if other.group == cell.group}
        return [trial for trial in trials if trial.cell in group]

    def _ask(self, cell: Cell, wanted: NextTrial) -> BookedTrial:
        if wanted.l1_alpha is not None:
            return self.book.ask_at(
                cell, wanted.l1_alpha, wanted.seed, wanted.params, retry_of=wanted.retry_of
            )
        return self.book.ask(cell, self.distribution(cell), wanted.seed, wanted.params)

    def _free_slot(self, wished: int | None = None) -> int:
        busy = {slot for slot, _ in self._running.values()}
        if wished is not None and wished not in busy:
            return wished
        return min(set(range(self.slots)) - busy)

    def _go_on_with(self, trial: BookedTrial) -> None:
        """Adopts the trial's job if it lives, and starts the trial's next attempt if not."""
        job = self._job(trial)
        watch = LeaseWatch(job.directory)
        if not watch.is_alive():
            self._start(trial, self._free_slot())
            return
        owner = current_owner(job.directory)
        slot = self._free_slot(None if owner is None else owner.slot)
        self.watcher.trial_started(trial, job.cell, job.directory)
        self.trials_run += 1
        self._running[adopt(job, watch)] = (slot, job)

    def _start(self, trial: BookedTrial, slot: int) -> None:
        job = self._job(trial)
        job.directory.mkdir(exist_ok=True)
        may_start(job.directory)
        self._ticket(trial, job.directory).write(job.directory)
        self.watcher.trial_started(trial, job.cell, job.directory)
        self.trials_run += 1
        self._running[self.executor.submit(slot, job)] = (slot, job)

    def _job(self, trial: BookedTrial) -> Job:
        cell = next(cell for cell in self.cells if cell.name == trial.cell)
        return Job(trial=trial, cell=cell, directory=self._directory(trial))

    def _ticket(self, trial: BookedTrial, directory: Path) -> Ticket:
        if (directory / TICKET_FILE).exists():
            earlier = Ticket.read(directory)
            return earlier.again(earlier.attempt + 1)
        return Ticket(
            trial=trial.number,
            cell=trial.cell,
            attempt=1 + self._losses[trial.number],
            retry_of=trial.retry_of,
            predicted_l0=trial.predicted.get("predicted_l0"),
            predicted_l0_sd=trial.predicted.get("predicted_l0_sd"),
            prior_weights=trial.predicted.get("prior_weights"),
            study=self.book.study_name(trial),
            optuna_number=trial.optuna_number,
            params=trial.params,
        )

    def _collect(self) -> None:
        """Waits until a trial ends, or for a moment, and takes in what came."""
        ended, _ = concurrent.futures.wait(
            self._running, LOOK_EVERY, concurrent.futures.FIRST_COMPLETED
        )
        for future in ended:
            _, job = self._running.pop(future)
            self._take_in(job, future.result())

    def _take_in(self, job: Job, end: JobEnd) -> None:
        record = read_record(job.directory)
        is_deleted = not (job.directory / TICKET_FILE).exists()
        if record is None and end.ending is Ending.crashed and not is_deleted:
            record = record_failure(job, end)
        if record is not None:
            self.book.tell(job.trial, record)
            self.watcher.trial_ended(job.trial, job.cell, record)
        elif end.ending is Ending.stopped:
            self._halt = self._halt or SweepInterruptedError(
                f"{job.directory.name} was stopped and has a checkpoint."
            )
        elif end.ending is Ending.refused and not is_deleted:
            self._stop_all(SweepError(end.reason))
        elif self._halt is None and not self._interruption.reason:
            self._start_again(job, end)

    def _start_again(self, job: Job, end: JobEnd) -> None:
        """Puts a lost trial before all new ones, unless it loses one process after another."""
        trial = job.trial
        if not LeaseWatch(job.directory).is_alive():
            self._losses[trial.number] += 1
        reason = end.reason or "it was asked to stop"
        if self._losses[trial.number] <= job.cell.settings.sweep.max_retries:
            self.watcher.trial_lost(trial, reason)
            self._unfinished.append(trial)
            return
        job.directory.mkdir(exist_ok=True)
        record = record_failure(job, JobEnd(ending=Ending.lost, reason=reason))
        self.book.tell(trial, record)
        self.watcher.trial_ended(trial, job.cell, record)

    def _outcome(self, cell: Cell) -> Need:
        need = next_trial(cell, self._of_group(cell, self.book.trials()), self.space).need
        return need if need is Need.nothing else Need.exhausted

    def _directory(self, trial: BookedTrial) -> Path:
        return self.folder / trial_directory_name(trial.number)
