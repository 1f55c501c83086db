"""The loop of a sweep: fill the free slots, wait for the first trial to end, tell what came."""

import concurrent.futures
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from optuna.distributions import FloatDistribution

from sae.history import HISTORY_FILE, last_step
from sweeper.agenda import Agenda, Outcome
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.errors import SweepError
from sweeper.execution.adoption import adopt
from sweeper.execution.crew import Crew
from sweeper.execution.executor import Ending, Executor, Job, JobEnd, Pack
from sweeper.execution.hydra_job import job_overrides
from sweeper.execution.interruption import Interruption
from sweeper.execution.lease import ask_to_stop, current_owner, may_start, watch_of
from sweeper.failure import record_failure
from sweeper.pack_job import write_settings
from sweeper.progress import NextTrial
from sweeper.record import TICKET_FILE, Ticket, read_record
from sweeper.space import SearchSpace
from sweeper.stopped import stopped_words
from sweeper.study_folder import STOP_FILE, trial_directory_name
from sweeper.trial_book import TrialBook
from sweeper.unfinished import Unfinished

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

    def waits_for(self, trials: Sequence[BookedTrial]) -> None:
        """Nothing runs here, since these of other commands may be all that is needed."""


class SweepInterruptedError(Exception):
    """The user or the system asked the sweep to stop; it is resumable."""


@dataclass(kw_only=True)
class Controller:
    """Runs a study's trials until every cell needs nothing more."""

    cells: Sequence[Cell]
    space: SearchSpace
    book: TrialBook
    crew: Crew
    folder: Path
    executor: Executor
    watcher: Watcher
    distribution: Callable[[Cell], FloatDistribution]
    """Where alpha is searched in a cell."""
    slots: int = 1
    pack: int = 1
    """Trials that one job trains."""
    trials_run: int = 0
    _running: dict["Future[list[JobEnd]]", tuple[int, Pack]] = field(
        init=False, default_factory=dict
    )
    """Each running job's trials with its slot."""
    _agenda: Agenda = field(init=False)
    _unfinished: Unfinished = field(init=False)
    """They go before new trials."""
    _losses: Counter[int] = field(init=False, default_factory=Counter)
    _furthest: Counter[int] = field(init=False, default_factory=Counter)
    """The step that a trial had come to when it was last asked to stop."""
    _interruption: Interruption = field(init=False, default_factory=Interruption)
    _halt: Exception | None = field(init=False, default=None)
    """Why nothing more is started; raised once the running trials have ended."""
    _stopped: list[Path] = field(init=False, default_factory=list[Path])
    """Trials that ended without a record, since nothing more is started."""

    def __post_init__(self) -> None:
        self._agenda = Agenda(
            cells=self.cells, space=self.space, book=self.book, distribution=self.distribution
        )
        self._unfinished = Unfinished(self._directory, lambda trial: self._cell(trial).group)

    def run_all(self) -> dict[str, Outcome]:
        """Runs until nothing more is needed or allowed.

        Returns:
            For each cell whether its goal is reached, and if not, why.

        Raises:
            SweepInterruptedError: A stop was asked for; the trials go on next time.
            SweepError: A trial's input is wrong, so that no other would do better.
            KeyboardInterrupt: A second signal; running trials were not waited for.
        """
        finished = False
        try:
            with self._interruption.on_signals():
                self._begin()
                self._fill()
                while self._running or self._waits_for_others():
                    self._collect()
                    self._fill()
            finished = True
        finally:
            if not finished:
                self.executor.kill()
            self.executor.close()
        if isinstance(self._halt, SweepInterruptedError):
            why = f"{self._halt} {stopped_words(self._stopped)}".strip()
            raise SweepInterruptedError(why)
        if self._halt is not None:
            raise self._halt
        return {cell.name: self._agenda.outcome(cell) for cell in self.cells}

    def _begin(self) -> None:
        with self.crew.turn():
            self.book.heal()
            self._claim_orphans()

    def _claim_orphans(self) -> None:
        """Takes over trials whose command is gone; those whose jobs live come first."""
        alive: list[BookedTrial] = []
        dead: list[BookedTrial] = []
        with self.crew.turn():
            for trial in self.book.running():
                if not (self.crew.is_gone(trial.run_by) or self._is_unknown(trial)):
                    continue
                if not self._told(trial):
                    lives = watch_of(self._directory(trial)).is_alive()
                    (alive if lives else dead).append(self.book.claim(trial))
        self._unfinished.extend([*alive, *dead])

    def _is_unknown(self, trial: BookedTrial) -> bool:
        """Whether this command asked for a trial and the storage's answer was lost."""
        running = {job.trial.number for _, pack in self._running.values() for job in pack}
        known = trial.number in running or trial.number in self._unfinished
        return trial.run_by == self.crew.name and not known

    def _told(self, trial: BookedTrial) -> bool:
        """Whether the trial has its record, which is told if so."""
        record = read_record(self._directory(trial))
        if record is not None:
            self._tell(trial, record)
        return record is not None

    def _tell(self, trial: BookedTrial, record: Mapping[str, Any]) -> None:
        with self.crew.turn():
            self.book.tell(trial, record)

    def _waits_for_others(self) -> bool:
        """Whether another command's trials may be all that is needed, or become this one's."""
        if not self._may_go_on():
            return False
        trials = self.book.running()
        if trials:
            self.watcher.waits_for(trials)
        return bool(trials)

    def _fill(self) -> None:
        """Starts what is wanted, as long as a slot is free and nothing speaks against it."""
        while self._may_go_on() and len(self._running) < self.slots:
            self._claim_orphans()
            if self._unfinished:
                self._go_on_with(self._unfinished.next_pack(self.pack))
                continue
            with self.crew.turn():
                wanted = self._agenda.next_wanted()
                if wanted is None:
                    return
                if self._halts_by_file():
                    return
                asked = self._ask_for_pack(*wanted)
            self._start(asked, self._free_slot())

    def _halts_by_file(self) -> bool:
        """Whether the file that forbids to start a trial is there."""
        stop = self.folder / STOP_FILE
        if stop.exists():
            self._halt = SweepInterruptedError(f"{stop} is there; remove it to go on.")
        return self._halt is not None

    def _may_go_on(self) -> bool:
        if self._interruption.reason and self._halt is None:
            self._stop_all(SweepInterruptedError())
        return self._halt is None

    def _stop_all(self, why: Exception) -> None:
        """Lets running jobs end with a checkpoint, after which `why` is raised."""
        self._halt = why
        for future, (_, pack) in self._running.items():
            for job in () if future.done() else pack:
                ask_to_stop(job.directory)

    def _ask_for_pack(self, cell: Cell, wanted: NextTrial) -> list[BookedTrial]:
        """Asks for as many trials of the cell's group as it wants and one job trains."""
        trials = [self._ask(cell, wanted)]
        while len(trials) < self.pack:
            more = self._agenda.next_wanted(cell.group)
            if more is None:
                break
            trials.append(self._ask(*more))
        return trials

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

    def _go_on_with(self, trials: Sequence[BookedTrial]) -> None:
        """Adopts the trials' job if it lives, and starts their next attempt if not."""
        left = [trial for trial in trials if not self._told(trial)]  # while they waited for a slot
        if not left:
            return
        pack = tuple(self._job(trial) for trial in left)
        if not any(watch_of(job.directory).is_alive() for job in pack):
            left = [trial for trial in left if not self._told(trial)]  # before its lease ended
            if left and not self._halts_by_file():
                self._start(left, self._free_slot())
            return
        owner = current_owner(pack[0].directory)
        slot = self._free_slot(None if owner is None else owner.slot)
        self._note_start(pack)
        self._running[adopt(pack)] = (slot, pack)

    def _start(self, trials: Sequence[BookedTrial], slot: int) -> None:
        pack = tuple(self._job(trial) for trial in trials)
        numbers = [trial.number for trial in trials] if len(trials) > 1 else None
        for job in pack:
            job.directory.mkdir(exist_ok=True)
            may_start(job.directory)
            self._ticket(job.trial, job.directory, numbers).write(job.directory)
        for job in pack[1:]:  # Hydra writes the first one's
            write_settings(job.settings, job_overrides(job), job.directory)
        self._note_start(pack)
        self._running[self.executor.submit(slot, pack)] = (slot, pack)

    def _note_start(self, pack: Pack) -> None:
        for job in pack:
            self.watcher.trial_started(job.trial, job.cell, job.directory)
            self.trials_run += 1

    def _job(self, trial: BookedTrial) -> Job:
        return Job(trial=trial, cell=self._cell(trial), directory=self._directory(trial))

    def _cell(self, trial: BookedTrial) -> Cell:
        return next(cell for cell in self.cells if cell.name == trial.cell)

    def _ticket(self, trial: BookedTrial, directory: Path, pack: Sequence[int] | None) -> Ticket:
        if (directory / TICKET_FILE).exists():
            earlier = Ticket.read(directory)
            return earlier.again(earlier.attempt + 1, pack)
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
            varied=self._cell(trial).varied,
            pack=pack,
        )

    def _collect(self) -> None:
        """Waits until a trial ends, or for a moment, and takes in what came."""
        if not self._running:
            time.sleep(LOOK_EVERY)
        ended, _ = concurrent.futures.wait(
            self._running, LOOK_EVERY, concurrent.futures.FIRST_COMPLETED
        )
        for future in ended:
            _, pack = self._running.pop(future)
            for job, end in zip(pack, future.result(), strict=True):
                self._take_in(job, end)

    def _take_in(self, job: Job, end: JobEnd) -> None:
        record = read_record(job.directory)
        is_deleted = not (job.directory / TICKET_FILE).exists()
        if record is None and end.ending is Ending.crashed and not is_deleted:
            record = record_failure(job, end)
        if record is not None:
            self._tell(job.trial, record)
            self.watcher.trial_ended(job.trial, job.cell, record)
        elif end.ending is Ending.stopped:
            self._halt = self._halt or SweepInterruptedError()
            self._stopped.append(job.directory)
        elif end.ending is Ending.refused and not is_deleted:
            self._stop_all(SweepError(end.reason))
        elif self._halt is None and not self._interruption.reason:
            self._start_again(job, end)
        else:
            self._stopped.append(job.directory)

    def _start_again(self, job: Job, end: JobEnd) -> None:
        """Puts a lost trial before all new ones, unless it loses one process after another."""
        trial = job.trial
        if not self.book.is_mine(trial):  # this process slept, and another took it for dead
            return
        if self._is_a_loss(job, end):
            self._losses[trial.number] += 1
        reason = end.reason or "it was asked to stop"
        if self._losses[trial.number] <= job.cell.settings.sweep.max_retries:
            self.watcher.trial_lost(trial, reason)
            self._unfinished.extend([trial])
            return
        job.directory.mkdir(exist_ok=True)
        record = record_failure(job, JobEnd(ending=Ending.lost, reason=reason))
        self._tell(trial, record)
        self.watcher.trial_ended(trial, job.cell, record)

    def _is_a_loss(self, job: Job, end: JobEnd) -> bool:
        """Whether the trial lost a process, or was asked to stop and came no further than before.

        A queue's time limit may end a job as often as it likes, as long as the run goes on.
        """
        if end.ending is not Ending.returned:
            return not watch_of(job.directory).is_alive()
        number = job.trial.number
        before = self._furthest[number]
        self._furthest[number] = max(before, last_step(job.directory / HISTORY_FILE))
        return self._furthest[number] == before

    def _directory(self, trial: BookedTrial) -> Path:
        return self.folder / trial_directory_name(trial.number)
