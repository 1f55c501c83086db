"""The override grammar: which words of a command line make cells, replicates, grids and bounds.

| written | means |
|---|---|
| `sae.latent_dim=1024,2048` | one cell per value; several lists make a grid of cells |
| `target_l0=32,64` | cells that share every trial of their width |
| `seed=0,1,2` | replicates of each cell |
| `l1_alpha=interval(0.5,8)` | bounds of the search |
| `l1_alpha=0.5,1,2` | a plain grid, nothing is searched |
| `l1_alpha=1.5` | alpha is fixed |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override

from sweeper.errors import SweepError

NOT_PART_OF_A_JOB = ("sweep.storage", "hydra.", "hydra/")
"""Keys that only the sweeper reads: a storage URL may hold a password, and jobs write theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A comma list: one cell per value."""

    key: str
    """As on the command line, with `+` where it was written."""
    values: tuple[str, ...]

    @property
    def label(self) -> str:
        """The last part of the key, as it stands in the names of cells."""
        return self.key.lstrip("+").replace("/", ".").rsplit(".", 1)[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """What a command line asks for, apart from plain values."""

    fixed: tuple[str, ...] = ()
    """Overrides that every job gets as they stand."""
    axes: tuple[Axis, ...] = ()
    targets: tuple[str, ...] = ()
    """Values of `target_l0` where it is a list."""
    seeds: tuple[int, ...] = ()
    """Values of `seed` where it is a list."""
    alpha_grid: tuple[float, ...] = ()
    alpha_bounds: tuple[float, float] | None = None


def parse_space(arguments: Sequence[str]) -> SearchSpace:
    """Reads the overrides of a `--multirun` command line.

    Raises:
        SweepError: A sweep that this grammar does not have, or an interval the wrong way round.
    """
    overrides = OverridesParser.create().parse_overrides(list(arguments))
    fixed: list[str] = []
    axes: list[Axis] = []
    found: dict[str, Override] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            if not key.startswith(NOT_PART_OF_A_JOB):
                fixed.append(str(override.input_line))
        elif key in ("target_l0", "seed", "l1_alpha"):
            found[key] = override
        else:
            axes.append(Axis(key=key, values=_list_values(override)))
    grid, bounds = _alpha(found.get("l1_alpha"))
    return SearchSpace(
        fixed=tuple(fixed),
        axes=tuple(axes),
        targets=_list_values(found["target_l0"]) if "target_l0" in found else (),
        seeds=_seeds(found.get("seed")),
        alpha_grid=grid,
        alpha_bounds=bounds,
    )


def _list_values(override: Override) -> tuple[str, ...]:
    key = override.get_key_element()
    value = override.value()
    if key.startswith(("sweep", "prior", "hydra")):
        raise SweepError(f"{key} must be one value, but got {override.input_line!r}.")
    if not (isinstance(value, ChoiceSweep) and value.simple_form):
        raise SweepError(
            f"{key} must be a value or a comma list, but got {override.input_line!r}; "
            "only l1_alpha is searched."
        )
    values = tuple(str(text) for text in override.sweep_string_iterator())
    if len(set(values)) != len(values):
        raise SweepError(f"{key} must not name a value twice, but got {','.join(values)}.")
    return values


def _seeds(override: Override | None) -> tuple[int, ...]:
    if override is None:
        return ()
    values = _list_values(override)
    if not all(value.isdigit() for value in values):
        raise SweepError(
            f"seed must be a list of whole numbers from 0 on, but got {','.join(values)}."
        )
    return tuple(int(value) for value in values)


def _alpha(override: Override | None) -> tuple[tuple[float, ...], tuple[float, float] | None]:
    if override is None:
        return (), None
    value = override.value()
    if isinstance(value, IntervalSweep):
        return (), _bounds(float(cast("float", value.start)), float(cast("float", value.end)))
    texts = _list_values(override)
    try:
        grid = tuple(float(text) for text in texts)
    except ValueError:
        grid = (math.nan,)
    if not all(0 <= alpha < math.inf for alpha in grid):
        raise SweepError(
            f"l1_alpha must be a list of numbers that are not negative, but got {','.join(texts)}."
        )
    return grid, None


def _bounds(low: float, high: float) -> tuple[float, float]:
    if not 0 < low < high < math.inf:
        raise SweepError(
            "l1_alpha must be an interval(low, high) with 0 < low < high, "
            f"but got interval({low:g},{high:g})."
        )
    return low, high
