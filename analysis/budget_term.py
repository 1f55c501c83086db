"""How a law's alpha moves with the training budget: one power of learning rate times steps.

    ln alpha(budget) = ln alpha(reference) + exponent * ln(budget / reference)

The exponent is the surface's, at the law's target; it belongs to budgets near those that were run,
so it widens by a stated amount outside them.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from analysis.errors import AnalysisError
from analysis.groups import Recipe
from analysis.mixture import Z_95
from analysis.results import Refit

# Sd of the exponent outside the budgets that were run (assumption: how far it moves in an octave).
# It fades as training goes on: between neighbouring budgets from -0.8 at 300 to 600 steps to -0.2
# beyond 1,200 (measured: python -m benchmarks.recipe --report-only).
_EXPONENT_SD_OUTSIDE = 0.2

ASSUMED_EXPONENT = (-0.45, 0.2)
"""Mean and sd for a study of one budget (tests/data/l0_budget_minilm_layer3.csv has -0.36 to
-0.62 between neighbours); of an L1 penalty alone."""

RATE_TIMES_STEPS = "learning_rate * total_steps"
STEPS = "total_steps"


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetTerm:
    """The power of the budget, and where it was measured."""

    exponent: float
    """Of alpha in the budget."""
    se: float
    """Its standard error."""
    reference_budget: float
    """The budget of the runs behind the law's alpha."""
    unit: str
    """`learning_rate * total_steps`, or `total_steps` where no rate is recorded."""
    low: float
    """The smallest budget with runs."""
    high: float
    """The largest."""
    n: int
    """Different budgets with runs; 1 where the exponent is assumed, not measured."""

    def shift(self, budget: float) -> tuple[float, float]:
        """Change of ln alpha from the reference to a budget, and its sd.

        Raises:
            AnalysisError: The budget is not positive.
        """
        if not (math.isfinite(budget) and budget > 0):
            raise AnalysisError(f"budget must be positive and finite, but got {budget!r}.")
        distance = math.log(budget / self.reference_budget)
        outside = max(0.0, math.log(self.low / budget), math.log(budget / self.high))
        return self.exponent * distance, math.hypot(
            self.se * distance, _EXPONENT_SD_OUTSIDE * outside
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values, the keys of a law file's `budget`."""
        return asdict(self)


def term_of(fit: Refit) -> BudgetTerm | None:
    """The budget term of a refit: measured, else assumed for an L1 penalty, else None."""
    recipe = fit.recipe
    measured = None if fit.budget is None else fit.budget.point.budget_exponent
    if fit.budget is not None and measured is not None:
        reference = budget_of(fit.budget.budget_unit, recipe.learning_rate, recipe.total_steps)
        if reference is not None:
            return BudgetTerm(
                exponent=measured.value,
                se=(measured.high - measured.low) / (2 * Z_95),
                reference_budget=reference,
                unit=fit.budget.budget_unit,
                low=min(fit.budget.budgets),
                high=max(fit.budget.budgets),
                n=len(fit.budget.budgets),
            )
    return _assumed(recipe)


def _assumed(recipe: Recipe) -> BudgetTerm | None:
    unit = STEPS if recipe.learning_rate is None else RATE_TIMES_STEPS
    reference = budget_of(unit, recipe.learning_rate, recipe.total_steps)
    if reference is None or recipe.penalty not in (None, "l1"):
        return None
    mean, sd = ASSUMED_EXPONENT
    return BudgetTerm(
        exponent=mean,
        se=sd,
        reference_budget=reference,
        unit=unit,
        low=reference,
        high=reference,
        n=1,
    )


def budget_of(unit: str, learning_rate: float | None, total_steps: float | None) -> float | None:
    """A budget in a unit; None where what it needs is not known or not positive."""
    rate = 1.0 if unit == STEPS else learning_rate
    if total_steps is None or rate is None:
        return None
    budget = rate * total_steps
    return budget if min(rate, total_steps, budget) > 0 else None


def term_from_json(content: Mapping[str, Any] | None) -> BudgetTerm | None:
    """The term of a checked law file; None where it has none."""
    return None if content is None else BudgetTerm(**content)
