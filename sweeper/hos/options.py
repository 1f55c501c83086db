"""`hydra.sweeper` of a hydra-optuna-sweeper configuration, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from omegaconf import DictConfig

from sweeper.errors import SweepError
from sweeper.keys import may_hold_a_password
from sweeper.sampler_names import SamplerName
from sweeper.sweeper_options import known_options

TARGETS = {
    "optuna.samplers.TPESampler": SamplerName.tpe,
    "optuna.samplers.RandomSampler": SamplerName.random,
    "optuna.samplers.GridSampler": SamplerName.grid,
    "optuna.samplers.CmaEsSampler": SamplerName.cmaes,
    "optuna.samplers.GPSampler": SamplerName.gp,
    "optuna.samplers.QMCSampler": SamplerName.qmc,
    "optuna.samplers.NSGAIISampler": SamplerName.nsgaii,
    "optuna.samplers.NSGAIIISampler": SamplerName.nsgaiii,
    "optuna.samplers.BruteForceSampler": SamplerName.brute_force,
    "hydra_plugins.hydra_optuna_sweeper._impl.create_nsgaii_sampler": SamplerName.nsgaii,
    "hydra_plugins.hydra_optuna_sweeper._impl.create_nsgaiii_sampler": SamplerName.nsgaiii,
}
"""What a `_target_` means: a name in this table, never something to import."""
INSTRUCTIONS = ("_target_", "_partial_", "_convert_", "_recursive_")
DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True, kw_only=True, slots=True)
class HosOptions:
    """What the configuration asks for."""

    sampler: SamplerName
    sampler_options: Mapping[str, Any]
    directions: tuple[str, ...]
    """One for each value that a job returns."""
    storage: str | None
    """URL; None keeps the study in memory."""
    study_name: str | None
    n_trials: int
    n_jobs: int
    """Jobs that a launcher runs at the same time."""
    max_failure_rate: float
    """Largest share of the last `n_jobs` jobs that may fail."""
    params: Mapping[str, Any]
    search_space: Mapping[str, Any]
    """The older form of `params`: a table for each key."""
    custom_search_space: str | None
    """Dotted path of a function of (configuration, trial)."""


def read_options(config: DictConfig) -> HosOptions:
    """Reads `hydra.sweeper` of a composed configuration.

    Raises:
        SweepError: A key has a value that cannot be honoured; the line names it.
    """
    options = known_options(config)
    name, sampler_options = _sampler(options["sampler"])
    params, older = options["params"] or {}, options["search_space"] or {}
    return HosOptions(
        sampler=name,
        sampler_options=sampler_options,
        directions=_directions(options["direction"]),
        storage=_text_or_none(options, "storage"),
        study_name=_text_or_none(options, "study_name"),
        n_trials=_at_least(options, "n_trials", 1),
        n_jobs=_at_least(options, "n_jobs", 1),
        max_failure_rate=_rate(options["max_failure_rate"]),
        params=params,
        search_space={} if params else older,
        custom_search_space=_text_or_none(options, "custom_search_space"),
    )


def _sampler(block: Any) -> tuple[SamplerName, dict[str, Any]]:
    if not isinstance(block, dict):
        raise SweepError(f"hydra.sweeper.sampler must be a sampler's table, but got {block!r}.")
    table = cast("dict[str, Any]", block)
    target = table.get("_target_")
    if target not in TARGETS:
        is_motpe = "motpe" in str(target).lower()
        advice = "; motpe is gone from Optuna, tpe does its work" if is_motpe else ""
        raise SweepError(
            "hydra.sweeper.sampler._target_ must be one of "
            f"{', '.join(key for key in TARGETS if key.startswith('optuna.'))}, "
            f"but got {target!r}{advice}."
        )
    given = {key: v for key, v in table.items() if key not in INSTRUCTIONS and v is not None}
    return TARGETS[target], given


def _directions(value: Any) -> tuple[str, ...]:
    listed = cast("list[Any]", value) if isinstance(value, list) else [value]
    names = tuple(item.name if isinstance(item, Enum) else str(item) for item in listed)
    if not names or any(name not in DIRECTIONS for name in names):
        raise SweepError(
            f"hydra.sweeper.direction must be minimize or maximize, or a list of these, "
            f"but got {value!r}."
        )
    return names


def _text_or_none(options: Mapping[str, Any], key: str) -> str | None:
    value = options[key]
    if value is not None and not isinstance(value, str):
        shown = f"a {type(value).__name__}" if may_hold_a_password(key) else repr(value)
        raise SweepError(f"hydra.sweeper.{key} must be a text or null, but got {shown}.")
    return value


def _at_least(options: Mapping[str, Any], key: str, least: int) -> int:
    if options[key] < least:
        raise SweepError(f"hydra.sweeper.{key} must be at least {least}, but got {options[key]}.")
    return options[key]


def _rate(value: float) -> float:
    if not 0 <= value <= 1:
        raise SweepError(
            f"hydra.sweeper.max_failure_rate must lie between 0 and 1, but got {value}."
        )
    return value
