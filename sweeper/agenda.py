"""What a sweep runs next: which cell's turn it is, as long as the budget allows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.progress import Need, NextTrial, next_trial
from sweeper.space import SearchSpace
from sweeper.trial_book import TrialBook


@dataclass(frozen=True, kw_only=True, slots=True)
class Agenda:
    """The cells of a sweep, and what is known of their trials."""

    cells: Sequence[Cell]
    space: SearchSpace
    book: TrialBook
    started: float = field(default_factory=time.monotonic)

    def next_wanted(self, group: str | None = None) -> tuple[Cell, NextTrial] | None:
        """What the cell with the fewest running trials wants; the first one of equals.

        Args:
            group: Only cells of this one are asked; None: all.
        """
        trials = self.book.trials()
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

    def outcome(self, cell: Cell) -> Need:
        """Whether the cell's goal is reached (`nothing`), or its budget spent."""
        need = next_trial(cell, self._of_group(cell, self.book.trials()), self.space).need
        return need if need is Need.nothing else Need.exhausted
