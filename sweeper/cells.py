"""Cells: the points of the grid in each of which alpha, and what else is asked for, is searched.

A candidate is a cell with its searched keys at one set of values.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from optuna.distributions import distribution_to_json

from sae.trainer_config import Controller
from sweeper.contradictions import refuse_contradictions
from sweeper.distributions import Value, override_text, telling_values
from sweeper.errors import SweepError
from sweeper.keys import bare_key
from sweeper.record import OF_RECORDS
from sweeper.settings import Settings, flatten, to_plain
from sweeper.space import SearchSpace

NOT_DEFINING = ("sweep", "device", "seed", "target_l0", "l1_alpha")
"""Parts of the settings that a study may change, or that its search space says already."""
BATCH_SIZE_KEYS = ("trainer.batch_size", "trainer")
"""Keys that give a batch size; where both are searched the first one does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One point of the grid."""

    name: str
    """Unique in the study; part of the Optuna study's name."""
    group: str
    """Cells of one group differ in their target only, which does not steer their runs, and share
    every trial."""
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
    """Keys in which the cells differ, with this cell's values: columns of the record, where it has
    none for them yet, so that runs that differ in one never enter one fit."""
    earlier_targets: Mapping[str, float] = field(default_factory=dict[str, float])
    """Targets of the study's cells that this command does not name and that share their trials."""
    earlier_kin: frozenset[str] = frozenset()
    """Such cells that differ in width and budget too, so that they tell where to begin."""
    config_flags: tuple[str, ...] = ()
    """What a command needs beside the overrides to find what they name."""

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
                    group=_safe(name if target_steers(settings) else group),
                    overrides=tuple(overrides),
                    settings=settings,
                    compose=remembered,
                    config_flags=space.config_flags,
                )
            )
    names = [cell.name for cell in cells]
    if len(set(names)) != len(names):
        raise SweepError(f"the lists of a sweep must name different cells, but got {names}.")
    for cell in cells:
        refuse_contradictions(cell.settings, space)
    _refuse_unknown_cells(cells)
    for key, distribution in space.searched.items():
        for value in telling_values(distribution):
            cells[0].candidate({key: value})
    return _with_varied(cells)


def target_steers(settings: Settings) -> bool:
    """Whether a run aims at its target itself, so that it says nothing of another target."""
    return settings.sae.needs_target or steers_alpha(settings)


def steers_alpha(settings: Settings) -> bool:
    """Whether a run moves alpha itself, so that it ends on its target and tells no curve."""
    return settings.trainer.controller is Controller.l0


def given_alpha(cell: Cell) -> tuple[float, ...]:
    """The alpha that the cell's settings give, 0 where k sets L0; empty where they give none."""
    if cell.settings.sae.architecture.sets_l0:
        return (0.0,)
    alpha = cell.settings.l1_alpha
    return () if alpha is None else (alpha,)


def batch_sizes(cell: Cell, space: SearchSpace) -> list[int]:
    """The batch sizes of a cell's runs; of a searched range its ends."""
    searched = {bare_key(key): key for key in space.searched}
    given_by = next((searched[key] for key in BATCH_SIZE_KEYS if key in searched), None)
    if given_by is None:
        return [cell.settings.trainer.batch_size]
    values = telling_values(space.searched[given_by])
    return [cell.candidate({given_by: value}).trainer.batch_size for value in values]


def search_seed(cell: Cell, space: SearchSpace) -> int:
    """The seed that alpha is searched with; the answer is then confirmed with others."""
    return (space.seeds or (cell.settings.seed,))[0]


def of_group(cell: Cell, cells: Iterable[Cell]) -> set[str]:
    """The names of the cells that share trials with a cell, its own among them."""
    return {other.name for other in cells if other.group == cell.group} | {*cell.earlier_targets}


def _with_varied(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells, each with its values of the keys in which they differ."""
    plain = [flatten(_trained_settings(cell)) for cell in cells]
    keys = sorted({key for settings in plain for key in settings if key not in OF_RECORDS})
    differing = [key for key in keys if len({repr(settings.get(key)) for settings in plain}) > 1]
    return tuple(
        replace(cell, varied={key: _as_value(settings.get(key)) for key in differing})
        for cell, settings in zip(cells, plain, strict=True)
    )


def _trained_settings(cell: Cell) -> dict[str, Any]:
    plain = to_plain(cell.settings)
    return {group: plain[group] for group in ("activations", "sae", "trainer")}


def _as_value(found: Any) -> Value:
    return found if isinstance(found, str | int | float | bool | None) else str(found)


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
