"""Cells: the points of the grid in each of which alpha is searched."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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

    @property
    def target_count(self) -> float:
        """The target as a number of latents."""
        return self.settings.target_l0_count


def make_cells(
    space: SearchSpace, compose: Callable[[Sequence[str]], Settings]
) -> tuple[Cell, ...]:
    """All cells of a command line, in its order.

    Args:
        space: The parsed command line.
        compose: Gives the settings for a list of overrides.

    Raises:
        SweepError: Two cells would have one name.
    """
    cells: list[Cell] = []
    for values in itertools.product(*(axis.values for axis in space.axes)):
        parts = [f"{axis.label}={value}" for axis, value in zip(space.axes, values, strict=True)]
        assignments = [
            f"{axis.key}={value}" for axis, value in zip(space.axes, values, strict=True)
        ]
        for target in space.targets or (None,):
            overrides = [*space.fixed, *assignments]
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
                )
            )
    names = [cell.name for cell in cells]
    if len(set(names)) != len(names):
        raise SweepError(f"the lists of a sweep must name different cells, but got {names}.")
    return tuple(cells)


def study_definition(
    cells: Sequence[Cell], space: SearchSpace, data_fingerprints: Sequence[str]
) -> dict[str, Any]:
    """What makes a study this study: training settings, data, search space and prior.

    Budgets, slots, storage, launcher and device are left out, so that a larger budget, or another
    machine, goes on with the same study.
    """
    trainer = cells[0].settings.sweep.train
    return ({} if trainer is None else {"sweep.train": trainer}) | {
        "cells": {cell.name: _defining_settings(cell) for cell in cells},
        "data": sorted(set(data_fingerprints)),
        "seeds": list(space.seeds) or [cells[0].settings.seed],
        "alpha_grid": list(space.alpha_grid),
        "alpha_bounds": list(space.alpha_bounds or ()),
        "tolerance": cells[0].settings.sweep.tolerance,
    }


def _defining_settings(cell: Cell) -> dict[str, Any]:
    plain = to_plain(cell.settings)
    defining = {key: value for key, value in plain.items() if key not in NOT_DEFINING}
    return defining | {
        "target_l0": cell.settings.target_l0,
        "l1_alpha": cell.settings.l1_alpha,
    }


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9=,._+-]", "_", name)
