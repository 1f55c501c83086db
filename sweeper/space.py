"""The override grammar: which words of a command line make cells, replicates, grids and searches.

| written | means |
|---|---|
| `sae.latent_dim=1024,2048` | one cell per value; several lists make a grid of cells |
| `target_l0=32,64` | cells that share every trial of their width |
| `seed=0,1,2` | replicates of each cell |
| `l1_alpha=interval(0.5,8)` | bounds of the search |
| `l1_alpha=0.5,1,2` | a plain grid, nothing is searched |
| `l1_alpha=1.5` | alpha is fixed |
| `trainer.learning_rate=tag(log,interval(1e-4,1e-3))` | searched by Optuna inside each cell |

`hydra.sweeper.params` takes the same values from the configuration.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from optuna.distributions import BaseDistribution

from sae.number_rules import refuse_too_large
from sweeper.distributions import distribution_of, refuse_steps_in_a_logarithm
from sweeper.errors import SweepError
from sweeper.keys import bare_key
from sweeper.settings import flatten

NOT_PART_OF_A_JOB = ("hydra.", "hydra/")
"""Keys that only the sweeper reads."""
ONE_VALUE = ("sweep", "prior", "hydra")
"""Keys of the study as a whole."""
NOT_SEARCHED = (
    *("sae", "activations", "objective", "target_l0", "seed", "device", "hidden_dim"),
    "trainer.controller",
)
"""Keys whose values are no rivals at one target: their lists make cells or replicates."""
ALPHA_KEY = "l1_alpha"
PARAMS_KEY = "hydra.sweeper.params"


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
    searched: Mapping[str, BaseDistribution] = field(default_factory=dict[str, BaseDistribution])
    """What Optuna searches in each cell, beside alpha."""
    config_flags: tuple[str, ...] = ()
    """What a command line has beside its overrides to find configurations: `--config-dir` etc."""

    @property
    def searches_alpha(self) -> bool:
        """Whether `l1_alpha` is a list or an interval."""
        return bool(self.alpha_grid) or self.alpha_bounds is not None


def parse_space(
    arguments: Sequence[str],
    params: Mapping[str, Any] | None = None,
    config_loader: ConfigLoader | None = None,
) -> SearchSpace:
    """Reads the overrides of a `--multirun` command line.

    Args:
        arguments: The overrides.
        params: `hydra.sweeper.params`: the same values by key.
        config_loader: Names the options of a group where a `glob` asks for them.

    Raises:
        SweepError: A sweep that this grammar does not have, an interval the wrong way round, or
            a key that is given twice.
        SaeError: A seed that no table can hold.
    """
    parser = OverridesParser.create(config_loader)
    given = parser.parse_overrides(list(arguments))
    configured = parser.parse_overrides(_param_overrides(params or {}))
    _refuse_repeated(given, configured)
    space = _sorted(given)
    if space.searches_alpha:
        # On the command line a search takes the place of an alpha that the configuration fixes.
        space = _with_fixed(space, (f"{ALPHA_KEY}=null",))
    return _joined(space, _sorted(configured))


def _with_fixed(space: SearchSpace, overrides: tuple[str, ...]) -> SearchSpace:
    return replace(space, fixed=(*space.fixed, *overrides))


def _joined(given: SearchSpace, configured: SearchSpace) -> SearchSpace:
    """Both parts of the space; a key is in one of them only."""
    return SearchSpace(
        fixed=(*configured.fixed, *given.fixed),
        axes=(*configured.axes, *given.axes),
        targets=given.targets or configured.targets,
        seeds=given.seeds or configured.seeds,
        alpha_grid=given.alpha_grid or configured.alpha_grid,
        alpha_bounds=given.alpha_bounds or configured.alpha_bounds,
        searched={**configured.searched, **given.searched},
    )


def _param_overrides(params: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for key, value in flatten(params).items():
        if key.lstrip("+~").startswith(ONE_VALUE):
            raise SweepError(
                f"{PARAMS_KEY} must hold keys of a trial's configuration, but got {key!r}."
            )
        lines.append(f"{key}={'null' if value is None else value}")
    return lines


def _refuse_repeated(given: Sequence[Override], configured: Sequence[Override]) -> None:
    """Alpha is fixed or searched; and a key is on the command line or in the configuration."""
    here = [_bare(override) for override in given]
    alphas = [override for override in given if _bare(override) == ALPHA_KEY]
    if len(alphas) > 1 and any(override.is_sweep_override() for override in alphas):
        lines = " and ".join(str(override.input_line) for override in alphas)
        raise SweepError(f"{ALPHA_KEY} must be given once, but got {lines}.")
    for override in configured:
        if _bare(override) in here:
            line = next(str(o.input_line) for o in given if _bare(o) == _bare(override))
            raise SweepError(
                f"{_bare(override)} must be given once, but got {override.input_line} "
                f"in {PARAMS_KEY} and {line} on the command line."
            )


def _bare(override: Override) -> str:
    return bare_key(override.get_key_element())


def _sorted(overrides: Sequence[Override]) -> SearchSpace:
    """Puts every override where it belongs."""
    fixed: list[str] = []
    axes: list[Axis] = []
    searched: dict[str, BaseDistribution] = {}
    found: dict[str, Override] = {}
    for index, override in enumerate(overrides):
        key, bare = override.get_key_element(), _bare(override)
        if any(_bare(later) == bare for later in overrides[index + 1 :]):
            continue  # of a key that is given twice the last one counts, as in Hydra
        if not override.is_sweep_override():
            if not bare.startswith(NOT_PART_OF_A_JOB):
                fixed.append(str(override.input_line))
        elif bare in ("target_l0", "seed", ALPHA_KEY):
            found[bare] = override
        elif _is_list(override) or not _may_be_searched(override):
            axes.append(Axis(key=key, values=_list_values(override)))
        else:
            refuse_steps_in_a_logarithm(override)
            searched[key] = distribution_of(override)
    grid, bounds = _alpha(found.get(ALPHA_KEY))
    return SearchSpace(
        fixed=tuple(fixed),
        axes=tuple(axes),
        targets=_list_values(found["target_l0"]) if "target_l0" in found else (),
        seeds=_seeds(found.get("seed")),
        alpha_grid=grid,
        alpha_bounds=bounds,
        searched=searched,
    )


def _is_list(override: Override) -> bool:
    value = override.value()
    return isinstance(value, ChoiceSweep) and value.simple_form


def _may_be_searched(override: Override) -> bool:
    key = _bare(override).replace("/", ".")
    return not {key, key.split(".", 1)[0]} & {*NOT_SEARCHED, *ONE_VALUE}


def _list_values(override: Override) -> tuple[str, ...]:
    key = _bare(override)
    if key.startswith(ONE_VALUE):
        raise SweepError(f"{key} must be one value, but got {override.input_line!r}.")
    if not _is_list(override):
        raise SweepError(
            f"{key} must be a value or a comma list, but got {override.input_line!r}."
        )
    values = tuple(str(text) for text in override.sweep_string_iterator())
    if len({_meant(text) for text in values}) != len(values):
        raise SweepError(f"{key} must not name a value twice, but got {','.join(values)}.")
    return values


def _meant(text: str) -> str | float:
    """A value as it is compared with others: 8 and 8.0 are one number."""
    try:
        return float(text)
    except ValueError:
        return text


def _seeds(override: Override | None) -> tuple[int, ...]:
    if override is None:
        return ()
    values = _list_values(override)
    if not all(value.isdigit() for value in values):
        raise SweepError(
            f"seed must be a list of whole numbers from 0 on, but got {','.join(values)}."
        )
    seeds = tuple(int(value) for value in values)
    refuse_too_large("seed", max(seeds))
    return seeds


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
