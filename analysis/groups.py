"""Runs that may enter one law: one architecture, penalty, data set and recipe."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.selection import GROUP_COLUMNS, dividers

Value = str | int | float
NO_PENALTY = "none"
"""In records of SAEs whose k sets L0."""
_K_SETS_L0 = ("topk", "batchtopk")
_BUDGET_COLUMNS = ("learning_rate", "total_steps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What a law belongs to; None where the trials do not say."""

    architecture: str | None
    """Architecture of the SAE."""
    penalty: str | None
    """What alpha multiplies."""
    d_in: int | None
    """Dimension of the activations."""
    activations: str | None
    """Name of the activations."""
    learning_rate: float | None
    """Peak learning rate."""
    batch_size: int | None
    """Tokens per step."""
    total_steps: int | None
    """Steps."""
    searched: tuple[tuple[str, Value], ...] = ()
    """Further searched keys, and what else divides the runs, with their values."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of what the trials do not say."""
        return tuple(name for name in GROUP_COLUMNS if getattr(self, name) is None)

    @property
    def has_alpha(self) -> bool:
        """Whether there is an alpha to find: with a TopK its k sets L0, penalty named or not."""
        if self.penalty is not None or self.architecture is None:
            return self.penalty != NO_PENALTY
        return re.sub(r"[\W_]", "", self.architecture.lower()) not in _K_SETS_L0

    @property
    def unusual(self) -> tuple[str, ...]:
        """Settings that are not the default, as overrides: a record's recipe names them."""
        words = str(dict(self.searched).get("recipe", "")).split()
        return tuple(word for word in words if "=" in word)

    def columns(self) -> dict[str, Value | None]:
        """The values of the record's own columns."""
        return {name: getattr(self, name) for name in GROUP_COLUMNS}

    def to_json(self) -> dict[str, object]:
        """As plain values, what is unknown named as such."""
        return {**self.columns(), "searched": dict(self.searched), "unknown": list(self.unknown)}

    def dividers(self) -> dict[str, Value | None]:
        """What its runs share; a searched key that says what a column says is left out."""
        return _with_others(self.columns(), dict(self.searched))

    def without_budget(self) -> "Recipe":
        """What runs of several budgets share, however learning rate and steps are called."""
        searched = tuple(
            each for each in self.searched if each[0].rpartition(".")[2] not in _BUDGET_COLUMNS
        )
        return replace(self, learning_rate=None, total_steps=None, searched=searched)

    def may_hold(self, trials: pd.DataFrame) -> pd.Series:
        """Which rows may be of this recipe: those without a value that is another.

        A trial that failed need not say all of its own.
        """
        belongs = pd.Series(data=True, index=trials.index)
        for name, value in {**self.columns(), **dict(self.searched)}.items():
            column = trials[name]
            belongs &= column.isna() | (column == value).fillna(value=False).astype(bool)
        return belongs

    def describe(self, names: Iterable[str] | None = None) -> str:
        """One line for people, naming what is unknown.

        Args:
            names: Which of the dividers; None for all.
        """
        own = self.dividers()
        return describe(own if names is None else {name: own.get(name) for name in names})


def describe(dividers: Mapping[str, object]) -> str:
    """What runs share, for people."""
    return ", ".join(
        f"{name}={'unknown' if value is None else value}" for name, value in dividers.items()
    )


def dividers_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What runs share, from their recipe as plain values, as a law file has it."""
    columns = {key: value for key, value in recipe.items() if key not in ("searched", "unknown")}
    return _with_others(columns, recipe.get("searched") or {})


def _with_others(columns: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    others = {
        name: value for name, value in searched.items() if name.rpartition(".")[2] not in columns
    }
    return {**columns, **others}


def differing_columns(recipes: Iterable[Recipe]) -> tuple[str, ...]:
    """The columns in which recipes differ, in their order."""
    divided = [recipe.dividers() for recipe in recipes]
    names = dict.fromkeys(name for each in divided for name in each)
    return tuple(name for name in names if len({each.get(name) for each in divided}) > 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The usable runs of one recipe."""

    recipe: Recipe
    """What they share."""
    runs: pd.DataFrame
    """The runs."""


def split(usable: pd.DataFrame, by: Sequence[str] = ()) -> list[Group]:
    """Divides usable runs into groups, the largest first.

    Args:
        usable: Rows that fits may use.
        by: Further columns to divide by.
    """
    names = dividers(usable, by)
    groups = [
        Group(recipe=_recipe(runs, names), runs=runs)
        for _, runs in usable.groupby(names, dropna=False, sort=False)
    ]
    return sorted(groups, key=lambda group: (-len(group.runs), group.recipe.describe()))


def _recipe(runs: pd.DataFrame, names: Sequence[str]) -> Recipe:
    values = {name: _plain(runs[name].iloc[0]) for name in names}
    searched = tuple(
        (name, value)
        for name, value in values.items()
        if name not in GROUP_COLUMNS and value is not None
    )
    known = {name: values[name] for name in GROUP_COLUMNS}
    return Recipe(**known, searched=searched)  # pyright: ignore[reportArgumentType]


def _plain(value: object) -> Value | None:
    """A value of a table as plain Python; None if it is missing."""
    if value is None or bool(pd.isna(value)):  # pyright: ignore[reportCallIssue, reportArgumentType]
        return None
    if isinstance(value, str | int | float):
        return value
    item = getattr(value, "item", None)
    return str(value) if item is None else item()
