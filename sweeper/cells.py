"""Cells: the points of the grid in each of which alpha, and what else is asked for, is searched.

A candidate is a cell with its searched keys at one set of values.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from optuna.distributions import distribution_to_json

from analysis.records import COLUMN
from sweeper.contradictions import refuse_contradictions
from sweeper.distributions import Value, any_value, override_text
from sweeper.errors import SweepError
from sweeper.settings import Settings, to_plain
from sweeper.space import SearchSpace

NOT_DEFINING = ("sweep", "device", "seed", "target_l0", "l1_alpha")
"""Parts of the settings that a study may change, or that its search space says already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One point of the grid."""

    name: str
    """Unique in the study; part of the Optuna study's name."""
    group: str
    """Cells of one group differ in their target only, and share every trial."""
    overrides: tuple[str, ...]
    """What a job of this cell is told, apart from alpha and seed."""
    settings: Settings
    """Composed for this cell."""
    compose: Callable[[tuple[str, ...]], Settings] | None = field(
        default=None, repr=False, compare=False
    )
    """Gives the settings for a list of overrides; needed where more than alpha is searched."""
    budget: float = 1.0
    """Of the full number of steps; a cell of short runs only informs its full one."""
    after: str | None = None
    """The cell that must have ended before this one begins."""
    varied: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Keys that lists give, with this cell's values: columns of the record, where it has none for
    them yet, so that runs that differ in one never enter one fit."""

    @property
    def target_count(self) -> float:
        """The target as a number of latents."""
        return self.settings.target_l0_count

    def candidate(self, params: Mapping[str, Value]) -> Settings:
        """The settings with searched keys at these values.

        Raises:
            SweepError, SaeError, AnalysisError: The values make no configuration.
        """
        if not params or self.compose is None:
            return self.settings
        return self.compose((*self.overrides, *assignments(params)))


def assignments(params: Mapping[str, Value]) -> list[str]:
    """Searched keys at these values, as overrides."""
    return [f"{key}={override_text(value)}" for key, value in params.items()]


def make_cells(
    space: SearchSpace, compose: Callable[[Sequence[str]], Settings]
) -> tuple[Cell, ...]:
    """All cells of a command line, in its order.

    Args:
        space: The parsed command line.
        compose: Gives the settings for a list of overrides.

    Raises:
        SweepError: Two cells would have one name, or a cell cannot be searched as asked.
    """

    # A candidate is composed at every look at its cell, and composing is slow.
    @lru_cache(maxsize=1024)
    def remembered(overrides: tuple[str, ...]) -> Settings:
        return compose(list(overrides))

    cells: list[Cell] = []
    for values in itertools.product(*(axis.values for axis in space.axes)):
        parts = [f"{axis.label}={value}" for axis, value in zip(space.axes, values, strict=True)]
        chosen = [f"{axis.key}={value}" for axis, value in zip(space.axes, values, strict=True)]
        for target in space.targets or (None,):
            overrides = [*space.fixed, *chosen]
            if target is not None:
                overrides.append(f"target_l0={target}")
            settings = compose(overrides)
            group = ",".join(parts) or f"latent_dim={settings.sae.latent_dim}"
            name = group if target is None else f"{group},target_l0={target}"
            cells.append(
                Cell(
                    name=_safe(name),
                    group=_safe(group),
                    overrides=tuple(overrides),
                    settings=settings,
                    compose=remembered,
                    varied=_varied(space, settings),
                )
            )
    names = [cell.name for cell in cells]
    if len(set(names)) != len(names):
        raise SweepError(f"the lists of a sweep must name different cells, but got {names}.")
    for cell in cells:
        refuse_contradictions(cell.settings, space)
    _refuse_unknown_cells(cells)
    for key, distribution in space.searched.items():
        cells[0].candidate({key: any_value(distribution)})
    return tuple(cells)


def of_group(cell: Cell, cells: Iterable[Cell]) -> set[str]:
    """The names of the cells that share trials with a cell, its own among them."""
    return {other.name for other in cells if other.group == cell.group}


def _varied(space: SearchSpace, settings: Settings) -> dict[str, Value]:
    keys = [axis.key.lstrip("+") for axis in space.axes if axis.label not in COLUMN]
    plain = to_plain(settings)
    # A key without a dot names a group of the configuration, whose parts are columns.
    return {key: _value_at(plain, key) for key in keys if "." in key}


def _value_at(plain: Mapping[str, Any], key: str) -> Value:
    found: Any = plain
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, str | int | float | bool) else str(found)


def _refuse_unknown_cells(cells: Sequence[Cell]) -> None:
    enqueue = cells[0].settings.sweep.enqueue
    names = [cell.name for cell in cells]
    for name in enqueue if isinstance(enqueue, dict) else ():
        if name not in names:
            raise SweepError(
                f"sweep.enqueue must name cells among {', '.join(names)}, but got {name!r}."
            )


def study_definition(
    cells: Sequence[Cell], space: SearchSpace, data_fingerprint: Callable[[Cell], str]
) -> dict[str, Any]:
    """What makes a study this study: training settings, data, search space and prior.

    `axes` are the keys in which its cells may differ.

    Budgets, slots, storage, launcher and device are left out, so that a larger budget, or another
    machine, goes on with the same study.
    """
    trainer = cells[0].settings.sweep.train
    return (
        ({} if trainer is None else {"sweep.train": trainer})
        | {
            "cells": {
                cell.name: _defining_settings(cell)
                | {"data": data_fingerprint(cell)}
                | _asked_of_each(cell, space)
                for cell in cells
            },
            "axes": _axes(cells, space),
            "tolerance": cells[-1].settings.sweep.tolerance,
        }
        | _searched_definition(cells[0], space)
    )


def _asked_of_each(cell: Cell, space: SearchSpace) -> dict[str, Any]:
    return {
        "seeds": list(space.seeds) or [cell.settings.seed],
        "alpha_grid": list(space.alpha_grid),
        "alpha_bounds": list(space.alpha_bounds or ()),
    }


def _axes(cells: Sequence[Cell], space: SearchSpace) -> list[str]:
    axes = {axis.key.lstrip("+").replace("/", ".") for axis in space.axes}
    if any(axis.split(".")[0] == "activations" for axis in axes):
        axes.add("data")
    if any(cell.budget != 1 for cell in cells):
        axes.add("trainer.total_steps")
    return sorted(axes)


def _searched_definition(cell: Cell, space: SearchSpace) -> dict[str, Any]:
    """What Optuna searches, and for which goal, since it keeps that goal's values; the prior."""
    warm_start = cell.settings.sweep.warm_start
    started = {} if warm_start is None else {"sweep.warm_start": warm_start}
    if not space.searched:
        return started
    searched = {key: distribution_to_json(value) for key, value in space.searched.items()}
    return started | {"searched": searched, "goal": cell.settings.sweep.goal.value}


def _defining_settings(cell: Cell) -> dict[str, Any]:
    plain = to_plain(cell.settings)
    defining = {key: value for key, value in plain.items() if key not in NOT_DEFINING}
    # Where a search begins is not what it finds, and a law file may be moved.
    defining["prior"] = {key: value for key, value in plain["prior"].items() if key != "path"}
    return defining | {
        "target_l0": cell.settings.target_l0,
        "l1_alpha": cell.settings.l1_alpha,
    }


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9=,._+-]", "_", name)
