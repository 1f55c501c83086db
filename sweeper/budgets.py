"""Short runs for long ones: `sweep.budgets=[0.125,0.25,1]`.

Each cell gets cells of its own with fewer steps, whose alpha is searched first. They differ from
it in the budget alone, so that what they find reaches it by the budget term of the surface
(`search.transfer`), which each of them makes better known.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sweeper.cells import Cell, steers_alpha
from sweeper.errors import SweepError
from sweeper.settings import Settings
from sweeper.space import SearchSpace

SHORT_TOLERANCE = 0.25
"""Band of a short run. From its edge alpha is known to 25 % (the doubt about the elasticity) of
25 %; how far alpha moves to the next budget is less sure than that."""

MARK = ",budget="
"""In the name of a cell of short runs."""


def with_budgets(
    cells: Sequence[Cell], space: SearchSpace, compose: Callable[[Sequence[str]], Settings]
) -> tuple[Cell, ...]:
    """The cells, each after its short ones.

    Args:
        cells: The cells with their full number of steps.
        space: What is searched.
        compose: Gives the settings for a list of overrides.

    Raises:
        SweepError: Alpha is given, or a run steers it itself, so that short runs would find
            nothing, or a run has no step.
    """
    budgets = cells[0].settings.sweep.budgets
    if len(budgets) <= 1:
        return tuple(cells)
    if space.alpha_grid or not all(cell.settings.leaves_alpha_open for cell in cells):
        raise SweepError(
            f"sweep.budgets must be [1] where l1_alpha is not searched, but got {list(budgets)}."
        )
    if any(steers_alpha(cell.settings) for cell in cells):
        raise SweepError(
            "sweep.budgets must be [1] with trainer.controller=l0, whose runs tell no curve, but "
            f"got {list(budgets)}."
        )
    return tuple(each for cell in cells for each in _series(cell, budgets, compose))


def _series(
    cell: Cell, budgets: Sequence[float], compose: Callable[[Sequence[str]], Settings]
) -> list[Cell]:
    """From the shortest to the full one; each waits for the one before."""
    series: list[Cell] = []
    for budget in budgets:
        after = series[-1].name if series else None
        series.append(replace(_shortened(cell, budget, compose), budget=budget, after=after))
    return series


def _shortened(cell: Cell, budget: float, compose: Callable[[Sequence[str]], Settings]) -> Cell:
    if budget == 1:
        return cell
    full = cell.settings.trainer.total_steps
    steps = round(budget * full)
    if steps < 1:
        raise SweepError(
            f"sweep.budgets must leave a run one step of trainer.total_steps={full}, "
            f"but got {budget:g}."
        )
    tolerance = max(SHORT_TOLERANCE, cell.settings.sweep.tolerance)
    overrides = (
        *cell.overrides,
        f"trainer.total_steps={steps}",
        f"sweep.tolerance={tolerance}",
        "sweep.goal=land",
        "sweep.confirm=0",
    )
    return replace(
        cell,
        name=f"{cell.name}{MARK}{budget:g}",
        group=f"{cell.group}{MARK}{budget:g}",
        overrides=overrides,
        settings=compose(list(overrides)),
    )
