"""What a sweep runs next: which cell's turn it is, as long as the budget allows."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.records import State
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell, of_group
from sweeper.progress import (
    Need,
    NextTrial,
    gap_without_answer,
    next_trial,
    repeated_alpha,
)
from sweeper.space import SearchSpace
from sweeper.trial_book import TrialBook


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a cell came to."""

    reached: bool
    """Whether its goal is."""
    advice: str = ""
    """Where it is not: why, and what may help."""


NEAR = 1e-6
"""Relative distance within which an alpha is the end of an interval."""


@dataclass(kw_only=True, slots=True)
class Agenda:
    """The cells of a sweep, and what is known of their trials.

    A trial that failed in an earlier command counts for nothing: whatever made it fail may be
    mended, and it said nothing of the curve.
    """

    cells: Sequence[Cell]
    space: SearchSpace
    book: TrialBook
    started: float = field(default_factory=time.monotonic)
    _failed_before: frozenset[int] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        """Notes what had failed before this command."""
        self._failed_before = frozenset(
            trial.number for trial in self.book.trials() if _state(trial) == State.failed
        )

    def _trials(self) -> list[BookedTrial]:
        return [t for t in self.book.trials() if t.number not in self._failed_before]

    def next_wanted(self, group: str | None = None) -> tuple[Cell, NextTrial] | None:
        """What the cell with the fewest running trials wants; the first one of equals.

        Args:
            group: Only cells of this one are asked; None: all.
        """
        trials = self._trials()
        groups = {cell.group: self._of_group(cell, trials) for cell in self.cells}

        def running(cell: Cell) -> int:
            return sum(trial.is_running for trial in groups[cell.group])

        for cell in sorted(self.cells, key=running):
            if group not in (None, cell.group) or self._waits(cell, trials):
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
        return not self._is_late(cell) and self._has_steps_left(cell, trials)

    def _is_late(self, cell: Cell) -> bool:
        timeout = cell.settings.sweep.timeout
        return timeout is not None and time.monotonic() - self.started > timeout

    def _has_steps_left(self, cell: Cell, trials: Sequence[BookedTrial]) -> bool:
        most = cell.settings.sweep.max_steps
        if most is None:
            return True
        used = sum(self._steps(trial) for trial in trials)
        return used + cell.settings.trainer.total_steps <= most

    def _steps(self, trial: BookedTrial) -> int:
        """Steps that a trial took, or may take where it has not said so."""
        done = (trial.record or {}).get("steps_done")
        if done is not None:
            return int(done)
        cell = next(cell for cell in self.cells if cell.name == trial.cell)
        return cell.candidate(trial.params).trainer.total_steps

    def _of_group(self, cell: Cell, trials: Sequence[BookedTrial]) -> list[BookedTrial]:
        names = of_group(cell, self.cells)
        return [trial for trial in trials if trial.cell in names]

    def outcome(self, cell: Cell) -> Outcome:
        """Whether the cell's goal is reached, and if not, why."""
        trials = self._of_group(cell, self._trials())
        if next_trial(cell, trials, self.space).need is Need.nothing:
            return Outcome(reached=True)
        return Outcome(reached=False, advice=self._advice(cell, trials))

    def _advice(self, cell: Cell, trials: Sequence[BookedTrial]) -> str:
        sweep = cell.settings.sweep
        goal = f"the goal {sweep.goal.value} is not reached"
        ended = [trial for trial in trials if trial.record is not None]
        states = Counter(_state(trial) for trial in ended)
        if states and states.keys() == {State.failed}:
            reason = "; ".join((ended[-1].record or {})["verdict_reasons"])
            return f"{goal}: {reason}; the same command tries again"
        if self._is_late(cell):
            return f"{goal} in sweep.timeout={sweep.timeout:g} s; the same command goes on"
        if not self._has_steps_left(cell, self._trials()):
            return f"{goal} in sweep.max_steps={sweep.max_steps}; a larger one goes on"
        if states and not states[State.complete]:
            counts = ", ".join(f"{count} {state}" for state, count in states.items())
            return (
                f"{goal}, and no trial came to its end ({counts}): "
                f"trainer.total_steps={cell.settings.trainer.total_steps} may be too few for this "
                "target; sweep.pruner=none lets runs end by themselves"
            )
        gap = gap_without_answer(cell, trials)
        if gap is not None:
            return (
                f"{goal}: at l1_alpha={gap[0]:.4g} L0 is above the target and at {gap[1]:.4g} "
                "runs diverge; more steps or a smaller learning rate may help"
            )
        repeated = repeated_alpha(trials, cell.settings.seed)
        if repeated is not None:
            return (
                f"{goal}: the search came to l1_alpha={repeated:.4g} twice, {self._why(repeated)}"
            )
        return f"{goal}; a larger sweep.n_trials goes on"

    def _why(self, repeated: float) -> str:
        """Why a search comes to an alpha again."""
        if self.space.alpha_bounds is not None:
            low, high = self.space.alpha_bounds
            if min(abs(repeated / low - 1), abs(repeated / high - 1)) < NEAR:
                return f"the end of its interval from {low:g} to {high:g}: a wider one goes on"
        return "where alpha does not move L0 any more"


def _state(trial: BookedTrial) -> str | None:
    return None if trial.record is None else str(trial.record["state"])
