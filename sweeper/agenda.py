"""What a sweep runs next: which cell's turn it is, as long as the budget allows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from optuna.distributions import FloatDistribution

from analysis.records import State
from sweeper.advice import goal_words, why_not_reached
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.distributions import telling_values
from sweeper.progress import Need, NextTrial, group_trials, next_trial
from sweeper.space import SearchSpace
from sweeper.trial_book import TrialBook


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a cell came to."""

    reached: bool
    """Whether its goal is."""
    advice: str = ""
    """Where it is not: why, and what may help."""


@dataclass(kw_only=True, slots=True)
class Agenda:
    """The cells of a sweep, and what is known of their trials.

    A trial that failed in an earlier command counts for nothing: whatever made it fail may be
    mended, and it said nothing of the curve.
    """

    cells: Sequence[Cell]
    space: SearchSpace
    book: TrialBook
    distribution: Callable[[Cell], FloatDistribution]
    """Where alpha is searched in a cell."""
    started: float = field(default_factory=time.monotonic)
    _failed_before: frozenset[int] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        """Notes what had failed before this command."""
        self._failed_before = frozenset(
            trial.number for trial in self.book.known_trials() if trial.state == State.failed
        )

    def _trials(self) -> list[BookedTrial]:
        return [t for t in self.book.known_trials() if t.number not in self._failed_before]

    def next_wanted(self, group: str | None = None) -> tuple[Cell, NextTrial] | None:
        """What the cell with the fewest running trials wants; the first one of equals.

        Args:
            group: Only cells of this one are asked; None: all.
        """
        trials = self._trials()
        groups = {cell.group: group_trials(cell, self.cells, trials) for cell in self.cells}

        def running(cell: Cell) -> int:
            return sum(trial.is_running for trial in groups[cell.group])

        def wanted_by(cell: Cell) -> NextTrial:
            return next_trial(cell, groups[cell.group], self.space)

        for cell in sorted(self.cells, key=running):
            if group not in (None, cell.group):
                continue
            if cell.budget < 1 and not _looks_for_alpha(wanted_by(self._full(cell))):
                continue
            wanted = wanted_by(cell)
            if _looks_for_alpha(wanted) and self._waits(cell, trials):
                continue
            if wanted.need.starts_a_trial and self._budget_allows(cell, wanted):
                return cell, wanted
        return None

    def _full(self, cell: Cell) -> Cell:
        """The cell of full runs that short ones are for."""
        following = next((other for other in self.cells if other.after == cell.name), None)
        return cell if following is None else self._full(following)

    def _waits(self, cell: Cell, trials: Sequence[BookedTrial]) -> bool:
        """Whether a cell of shorter runs, which tells this one where to begin, goes on."""
        before = next((other for other in self.cells if other.name == cell.after), None)
        if before is None:
            return False
        own = group_trials(before, self.cells, trials)
        need = next_trial(before, own, self.space).need
        return need.starts_a_trial or any(trial.is_running for trial in own)

    def _budget_allows(self, cell: Cell, wanted: NextTrial) -> bool:
        return not self._is_late(cell) and self._has_steps_left(cell, wanted)

    def _is_late(self, cell: Cell) -> bool:
        timeout = cell.settings.sweep.timeout
        return timeout is not None and time.monotonic() - self.started > timeout

    def _has_steps_left(self, cell: Cell, wanted: NextTrial) -> bool:
        most = cell.settings.sweep.max_steps
        if most is None:
            return True
        used = sum(self._steps(trial) for trial in self.book.all_trials())
        return used + self._steps_wanted(cell, wanted) <= most

    def _steps_wanted(self, cell: Cell, wanted: NextTrial) -> int:
        """Steps of the next trial; of a candidate that is not drawn yet the most it may take."""
        if wanted.need is not Need.improve:
            return cell.candidate(wanted.params).trainer.total_steps
        return max(
            cell.candidate({key: value}).trainer.total_steps
            for key, distribution in self.space.searched.items()
            for value in telling_values(distribution)
        )

    def _steps(self, trial: BookedTrial) -> int:
        """Steps that a trial took, or may take where it has not said so."""
        record = trial.record or {}
        done = record.get("steps_done", record.get("total_steps"))
        if done is not None:
            return int(done)
        own = next((cell for cell in self.cells if cell.name == trial.cell), None)
        return 0 if own is None else own.candidate(trial.params).trainer.total_steps

    def outcome(self, cell: Cell) -> Outcome:
        """Whether the cell's goal is reached, and if not, why."""
        trials = group_trials(cell, self.cells, self._trials())
        wanted = next_trial(cell, trials, self.space)
        if wanted.need is Need.nothing:
            return Outcome(reached=True)
        limit = self._limit_met(cell, wanted)
        advice = limit or why_not_reached(cell, trials, self.space, self.distribution)
        return Outcome(reached=False, advice=advice)

    def _limit_met(self, cell: Cell, wanted: NextTrial) -> str | None:
        sweep = cell.settings.sweep
        if self._is_late(cell):
            said = f"{goal_words(cell)} in sweep.timeout={sweep.timeout:g} s"
            return f"{said}; the same command goes on"
        if wanted.need.starts_a_trial and not self._has_steps_left(cell, wanted):
            return f"{goal_words(cell)} in sweep.max_steps={sweep.max_steps}; a larger one goes on"
        return None


def _looks_for_alpha(wanted: NextTrial) -> bool:
    """Whether what shorter runs find would say where the trial begins."""
    return wanted.need in (Need.land, Need.improve)
