"""Cells of a study that a command does not name, and what they are to those that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweeper.cells import Cell, target_steers
from sweeper.kin import are_kin
from sweeper.settings import flatten, without

ASKED = ("target_l0", "l1_alpha", "hidden_dim", "seeds", "alpha_grid", "alpha_bounds", "prior")
"""What is asked of a cell, and changes no run at a given alpha; `hidden_dim` is said twice."""


def with_earlier(cells: Sequence[Cell], definition: Mapping[str, Any]) -> tuple[Cell, ...]:
    """The cells, each with what the study's other cells are to it.

    Args:
        cells: Those of a command.
        definition: The study's, with these among its cells.
    """
    known: Mapping[str, Mapping[str, Any]] = definition["cells"]
    named = {cell.name for cell in cells}
    others = {name: settings for name, settings in known.items() if name not in named}
    return tuple(
        replace(
            cell,
            earlier_targets={
                name: settings["target_l0"]
                for name, settings in others.items()
                if not target_steers(cell.settings) and _share_trials(settings, known[cell.name])
            },
            earlier_kin=frozenset(
                name for name, settings in others.items() if are_kin(settings, known[cell.name])
            ),
        )
        for cell in cells
    )


def _share_trials(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return without(flatten(one), ASKED) == without(flatten(other), ASKED)
