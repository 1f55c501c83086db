"""What a hydra-optuna-sweeper configuration searches: `params`, command line, older forms."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from sweeper.distributions import distribution_of
from sweeper.errors import SweepError
from sweeper.hos.options import HosOptions

Extend = Callable[[DictConfig, Trial], None]
"""Suggests further parameters of a trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HosSpace:
    """What is searched and what is not."""

    searched: Mapping[str, BaseDistribution]
    fixed: Mapping[str, str]
    """Plain values by key."""
    deleted: Sequence[str]
    """Overrides such as `~z`."""


def read_space(
    options: HosOptions, arguments: Sequence[str], config_loader: ConfigLoader | None = None
) -> HosSpace:
    """The search space; the command line replaces what the configuration says of a key.

    Raises:
        SweepError: A distribution without a value in it, or of no known type.
    """
    searched = {str(key): _older_form(key, table) for key, table in options.search_space.items()}
    fixed: dict[str, str] = {}
    deleted: list[str] = []
    lines = [
        f"{key}={'null' if value is None else value}" for key, value in options.params.items()
    ]
    for override in OverridesParser.create(config_loader).parse_overrides([*lines, *arguments]):
        key = override.get_key_element()
        if override.is_delete():
            deleted.append(str(override.input_line))
        elif override.is_sweep_override():
            fixed.pop(key, None)
            searched[key] = distribution_of(override)
        else:
            searched.pop(key, None)
            fixed[key] = override.get_value_element_as_str()
    return HosSpace(searched=searched, fixed=fixed, deleted=deleted)


def _older_form(key: str, table: Any) -> BaseDistribution:
    """A table of `type`, `low`, `high`, `step`, `log` or `choices`.

    Raises:
        SweepError: The table says no distribution.
    """
    name = f"hydra.sweeper.search_space.{key}"
    if not isinstance(table, dict):
        raise SweepError(f"{name} must be a table with a type, but got {table!r}.")
    values = cast("dict[str, Any]", table)
    known = {"type", "low", "high", "step", "log", "choices"}
    for option in values.keys() - known:
        raise SweepError(
            f"{name} must have keys among {', '.join(sorted(known))}, but got {option}."
        )
    try:
        return _of_type(values)
    except (KeyError, TypeError, ValueError) as error:
        raise SweepError(
            f"{name} must be a table that says a distribution, but got {values}: {error}."
        ) from None


def _of_type(values: Mapping[str, Any]) -> BaseDistribution:
    kind, log, step = values["type"], bool(values.get("log")), values.get("step")
    if kind == "categorical":
        return CategoricalDistribution(values["choices"])
    if kind == "int":
        low, high = int(values["low"]), int(values["high"])
        return IntDistribution(low, high, log=log, step=1 if log else int(step or 1))
    if kind == "float":
        low, high = float(values["low"]), float(values["high"])
        return FloatDistribution(low, high, log=log, step=None if log or step is None else step)
    raise ValueError("type is none of int, float and categorical")


def load_extend(path: str | None) -> Extend | None:
    """The function that `custom_search_space` names.

    Raises:
        SweepError: There is no such Python function.
    """
    if path is None:
        return None
    module, _, name = path.lstrip(".").rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _no_function(path, str(error)) from None
    if not inspect.isfunction(function):
        raise _no_function(path, f"it is a {type(function).__name__}")
    return function


def _no_function(path: str, reason: str) -> SweepError:
    return SweepError(
        "hydra.sweeper.custom_search_space must be the dotted path of a Python function, "
        f"but got {path!r}: {reason}."
    )
