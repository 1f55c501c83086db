"""How many trials a cell is expected to run, and how many at most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweeper.candidates import MOST_RUNS
from sweeper.cells import Cell, given_alpha, steers_alpha
from sweeper.distributions import number_of_points
from sweeper.progress import ALPHAS_FOR_A_LAW, confirmed_seeds, is_steered
from sweeper.sampler_names import SamplerName
from sweeper.space import SearchSpace
from sweeper.sweep_config import Goal

TRIALS_TO_LAND = 2
"""Expected of a cell whose alpha is searched (measured: python -m benchmarks.land, mean 2.0)."""
DRAWS_NONE_TWICE = (SamplerName.grid, SamplerName.brute_force)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialCount:
    """Trials of one cell; those that cells share are counted once, for the first of them."""

    expected: int
    most: int

    def with_further(self, trials: int) -> "TrialCount":
        """The same and so many more in either case."""
        return TrialCount(expected=self.expected + trials, most=self.most + trials)


def count_trials(cell: Cell, cells: Sequence[Cell], space: SearchSpace) -> TrialCount:
    """Counts a cell's trials in a study that has none yet, where none fails.

    Args:
        cell: The cell.
        cells: All of the study, in their order.
        space: Grid, seeds, and what is searched beside alpha.
    """
    in_group = [other for other in cells if other.group == cell.group]
    before = in_group[: in_group.index(cell)]
    seeds = space.seeds if space.seeds and cell.budget == 1 else (cell.settings.seed,)
    again = len(confirmed_seeds(cell, seeds)) - 1
    if space.searched:
        return _of_candidates(cell, len(before), space).with_further(again)
    if is_steered(cell, space):
        return TrialCount(expected=1, most=1).with_further(again)
    if alphas := space.alpha_grid or given_alpha(cell):
        given = 0 if before else len(alphas) * len(seeds) + cell.settings.sweep.confirm
        return TrialCount(expected=given, most=given)
    return _of_a_search(cell, before).with_further(again)


def _of_a_search(cell: Cell, before: Sequence[Cell]) -> TrialCount:
    """Where alpha alone is searched; every known alpha runs, and none need be the answer."""
    sweep = cell.settings.sweep
    known = len(_known_alphas([cell]) - _known_alphas(before))
    is_first_of_a_law = sweep.goal is Goal.law and not before
    needed = ALPHAS_FOR_A_LAW if is_first_of_a_law else TRIALS_TO_LAND
    most = max(sweep.n_trials, known)
    return TrialCount(expected=min(known + max(needed - known, 1), most), most=most)


def _known_alphas(cells: Sequence[Cell]) -> set[float]:
    full = [cell for cell in cells if cell.budget == 1]
    return {alpha for cell in full for alpha in cell.settings.sweep.known_alphas(cell.name)}


def _of_candidates(cell: Cell, before: int, space: SearchSpace) -> TrialCount:
    """Where other keys are searched.

    Args:
        cell: The cell.
        before: Cells that share its trials and come before it.
        space: What is searched.
    """
    sweep, points = cell.settings.sweep, number_of_points(space.searched.values())
    expected = most = sweep.n_trials
    if points is not None:
        tried = before * sweep.n_trials
        expected = max(0, _trials_of_all(cell, points) - tried)
        if sweep.sampler in DRAWS_NONE_TWICE:
            most = min(most, max(0, points * (MOST_RUNS if _finds_alpha(cell) else 1) - tried))
    # The first landing is all that is wanted; to a fixed alpha no candidate is known to be nearer.
    if sweep.goal is Goal.land and cell.settings.l1_alpha is None:
        expected = 1 if cell.settings.sae.architecture.sets_l0 else TRIALS_TO_LAND
    return TrialCount(expected=min(expected, most), most=most)


def _finds_alpha(cell: Cell) -> bool:
    """Whether the search does so, for each candidate; otherwise one run of each is all."""
    return cell.settings.leaves_alpha_open and not steers_alpha(cell.settings)


def _trials_of_all(cell: Cell, points: int) -> int:
    """Trials until each candidate was tried and the best one landed."""
    sweep = cell.settings.sweep
    landing = TRIALS_TO_LAND - 1 if _finds_alpha(cell) else 0
    if sweep.sampler in DRAWS_NONE_TWICE or points >= sweep.n_trials:
        return points + landing
    # Other samplers may draw a candidate again (assumption: at random).
    return math.ceil(points * sum(1 / left for left in range(1, points + 1))) + landing
