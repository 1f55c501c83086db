"""Alpha for the target along any column that divides runs: d_in, layer, steps, architecture.

Runs that differ in such a column are never mixed in one fit. Here their fits stand side by side,
width by width: alpha at every value of the column, all else that divides runs being the same, and
its exponent in the column where the values are positive numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.errors import AnalysisError
from analysis.exponent import exponent_through
from analysis.groups import Value, differing_columns
from analysis.mixture import Estimate
from analysis.results import Refit, WidthResult


@dataclass(frozen=True, kw_only=True, slots=True)
class AlongPoint:
    """One value of the column."""

    value: Value
    """The value."""
    alpha: float | None
    """Alpha for the target there, where it may be named."""
    interval: Estimate | None
    """The same with its interval, where that may be named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Along:
    """Alpha for the target at one width, along one column."""

    column: str
    """The column."""
    latent_dim: int
    """The width."""
    points: tuple[AlongPoint, ...]
    """By value, rising."""
    exponent: Estimate | None
    """Of alpha in the column, where it may be named."""
    reason: str | None
    """Why it is withheld."""
    changes_with: tuple[str, ...]
    """Other columns that change whenever this one does, so that either may be the cause."""

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "column": self.column,
            "latent_dim": self.latent_dim,
            "points": [
                {
                    "value": each.value,
                    "alpha": each.alpha,
                    "interval": None if each.interval is None else each.interval.to_json(),
                }
                for each in self.points
            ],
            "exponent": None if self.exponent is None else self.exponent.to_json(),
            "form_tested": self.exponent is not None and _intervals(self.points) > 2,
            "reason": self.reason,
            "changes_with": list(self.changes_with),
        }


def alpha_along(fit: Refit, column: str) -> tuple[Along, ...]:
    """Alpha along one column, for every width and every rest of the recipe with two values of it.

    Where no value has an alpha there is nothing to compare.

    Args:
        fit: A refit; its `others` are the runs with other values.
        column: What divides the runs: one of `analysis.selection.GROUP_COLUMNS`, a searched key,
            or a column that the refit was told to divide `by`.

    Raises:
        AnalysisError: The column divides no runs.
    """
    fits = (fit, *fit.others)
    recipes = [each.recipe.dividers() for each in fits]
    if not any(column in recipe for recipe in recipes):
        listed = ", ".join(dividing_columns(fit)) or "none"
        raise AnalysisError(f"column must divide the runs ({listed} does), but got {column!r}.")
    together = _changes_with(recipes, column)
    found: dict[tuple[object, ...], dict[Value, WidthResult]] = {}
    for each, recipe in zip(fits, recipes, strict=True):
        value = recipe.get(column)
        if value is None:
            continue
        rest = [recipe.get(name) for name in sorted(recipe) if name not in (column, *together)]
        for width in each.widths:
            found.setdefault((width.latent_dim, *map(str, rest)), {})[value] = width
    return tuple(
        _along(column, values, together)
        for _, values in sorted(found.items(), key=lambda item: (item[0][0], str(item[0][1:])))
        if len(values) > 1 and any(width.point is not None for width in values.values())
    )


def dividing_columns(fit: Refit) -> tuple[str, ...]:
    """The columns in which the groups of runs differ, in the recipe's order."""
    return differing_columns(each.recipe for each in (fit, *fit.others))


def _changes_with(recipes: Sequence[Mapping[str, Value | None]], column: str) -> tuple[str, ...]:
    """What has one value for each of the column's, and not one for all."""
    names = dict.fromkeys(name for recipe in recipes for name in recipe if name != column)
    found: list[str] = []
    for name in names:
        pairs = {(recipe.get(column), recipe.get(name)) for recipe in recipes}
        values = {value for value, _ in pairs}
        if len(pairs) == len(values) and len({other for _, other in pairs}) > 1:
            found.append(name)
    return tuple(found)


def _along(column: str, values: Mapping[Value, WidthResult], together: tuple[str, ...]) -> Along:
    ordered = sorted(values.items(), key=lambda item: (isinstance(item[0], str), item[0]))
    points = tuple(
        AlongPoint(value=value, alpha=width.point, interval=width.alpha_star)
        for value, width in ordered
    )
    exponent, reason = None, None
    known = [each for each in points if each.interval is not None]
    if any(isinstance(each.value, str) or each.value <= 0 for each in points):
        reason = "the values are no positive numbers"
    elif len(known) < 2:
        reason = f"{len(known)} of the values has alpha with its interval: an exponent needs two"
    else:
        exponent = exponent_through(
            [float(each.value) for each in known],
            [each.interval for each in known if each.interval is not None],
        )
    return Along(
        column=column,
        latent_dim=ordered[0][1].latent_dim,
        points=points,
        exponent=exponent,
        reason=reason,
        changes_with=together,
    )


def _intervals(points: tuple[AlongPoint, ...]) -> int:
    return sum(each.interval is not None for each in points)
