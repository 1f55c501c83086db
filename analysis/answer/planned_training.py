"""The training of the run that alpha is wanted for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.budget_term import STEPS, budget_of
from analysis.errors import AnalysisError


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTraining:
    """The training of the run that alpha is wanted for; None as in the runs behind the answer."""

    total_steps: int | None = None
    """Steps."""
    learning_rate: float | None = None
    """Peak learning rate."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise AnalysisError(f"{name} must be positive and finite, but got {value!r}.")

    def in_recipe(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe with the plan's values in place of its own."""
        own = {"total_steps": self.total_steps, "learning_rate": self.learning_rate}
        return {**recipe, **{name: value for name, value in own.items() if value is not None}}

    def differs_from(self, recipe: Mapping[str, Any]) -> bool:
        """Whether the plan is another training than the recipe's."""
        return self.in_recipe(recipe) != dict(recipe)

    def budget(self, recipe: Mapping[str, Any], unit: str) -> float:
        """The budget that is planned.

        Raises:
            AnalysisError: Neither the plan nor the recipe says the steps or the learning rate.
        """
        known = self.in_recipe(recipe)
        found = budget_of(unit, known.get("learning_rate"), known.get("total_steps"))
        if found is None:
            raise AnalysisError(
                f"{unit} must be known and positive for a budget, but the runs do not say it."
            )
        if unit == STEPS and self.learning_rate is not None:
            raise AnalysisError(
                "learning_rate must be left out where the runs do not record theirs, "
                f"but got {self.learning_rate!r}."
            )
        return found
