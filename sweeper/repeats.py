"""Searches that come to the same run again, and so learn nothing more."""

from collections import Counter
from collections.abc import Sequence

from analysis.records import State
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell


def repeated_alpha(cell: Cell, trials: Sequence[BookedTrial], seed: int) -> float | None:
    """An alpha that the cell searched one recipe with twice: nothing more is learnt of it.

    What other targets of its group come to again may be far from what this one looks for.

    The search is then at its bound, or alpha does not move L0 (JumpReLU's thresholds move by about
    the learning rate a step, whatever alpha says: SAELens issue 719).
    """
    searched = Counter(
        (trial.l1_alpha, trial.recipe)
        for trial in trials
        if trial.cell == cell.name
        and trial.seed == seed
        and not trial.is_retry
        and not trial.is_running
        and trial.state != State.failed
    )
    return next((alpha for (alpha, _), times in searched.items() if times > 1), None)
