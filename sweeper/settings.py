"""The whole configuration of a run: one frozen dataclass, its schema for Hydra, and its checks."""

import functools
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from analysis.errors import AnalysisError
from analysis.units import ObjectiveConfig, check_convertible, target_count
from sae.activations import ActivationsConfig
from sae.architectures.config import SaeConfig
from sae.errors import SaeError
from sae.number_rules import refuse_too_large
from sae.trainer_config import TrainerConfig
from sweeper.errors import SweepError
from sweeper.keys import dotted_keys, unknown_key
from sweeper.search.prior_config import PriorConfig
from sweeper.sweep_config import SweepConfig

FREE_TABLES = ("sweep.sampler_options.", "sweep.enqueue.")
"""Tables whose keys are Optuna's, or names of cells."""
DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")
USER_ERRORS = (SweepError, SaeError, AnalysisError)
"""What a user is meant to read: one line, no traceback."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a run is told.

    Raises:
        SweepError: A value breaks its rule.
        AnalysisError: The target does not fit the number of latents, or the penalty's alpha cannot
            be stated in the objective's units.
    """

    target_l0: float = 64.0
    """Wanted L0 on held-out tokens: below 1 a fraction of latent_dim, from 1 on a count."""
    l1_alpha: float | None = None
    """Sparsity coefficient in the objective's units; null: searched, or taken from the prior."""
    seed: int = 0
    """Initial weights, shuffling, and the search."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:<index> or mps."""
    hidden_dim: int | None = None
    """The guide's word for d_in; d_in comes from the data, and a difference gives a warning."""
    activations: ActivationsConfig = field(default_factory=ActivationsConfig)
    sae: SaeConfig = field(default_factory=SaeConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        target_count(self.target_l0, self.sae.latent_dim)
        check_convertible(self.objective, self.sae.penalty)
        if self.l1_alpha is not None and not 0 <= self.l1_alpha < math.inf:
            raise SweepError(f"l1_alpha must be finite and not negative, but got {self.l1_alpha}.")
        if self.l1_alpha is not None and self.sae.architecture.sets_l0:
            raise SweepError(
                f"l1_alpha must be null with {self.sae.architecture.value}, whose k is target_l0, "
                f"but got {self.l1_alpha}."
            )
        if self.sweep.train is None and not DEVICE.fullmatch(self.device):
            raise SweepError(
                f"device must be one of auto, cpu, cuda, cuda:<index> and mps, but got "
                f"{self.device!r}."
            )
        if self.seed < 0:
            raise SweepError(f"seed must not be negative, but got {self.seed}.")
        refuse_too_large("seed", self.seed)

    @property
    def leaves_alpha_open(self) -> bool:
        """Whether alpha has a meaning and is not given, so that a prior or a search gives it."""
        return self.l1_alpha is None and not self.sae.architecture.sets_l0

    @property
    def target_l0_count(self) -> float:
        """The target as a number of latents, as near as the architecture can come to it."""
        return self.sae.reachable_target(target_count(self.target_l0, self.sae.latent_dim))


def register_schema() -> None:
    """Puts the schema where `conf/config.yaml` finds it, so that unknown keys are errors."""
    ConfigStore.instance().store(name="schema", node=_schema().copy(), provider="sae-sweep")


@functools.cache
def _schema() -> DictConfig:
    """Built once; whoever changes it takes a copy."""
    schema = OmegaConf.structured(Settings)
    _clear_read_only(schema)
    return schema


def _clear_read_only(node: Any) -> None:
    """Frozen dataclasses compose to read-only nodes, which command lines could not override."""
    if isinstance(node, DictConfig | ListConfig):
        OmegaConf.set_readonly(node, None)
    if isinstance(node, DictConfig):
        for key in node:
            _clear_read_only(node[key])


@functools.cache
def known_keys() -> frozenset[str]:
    """Every key that an override may name, configuration groups included."""
    return frozenset({*dotted_keys(_schema()), "guide"})


def refuse_unknown_keys(config: DictConfig) -> None:
    """Raises a SweepError where a composed configuration holds a key that nothing reads."""
    known = known_keys()
    for key in dotted_keys(_without_hydra(config)):
        if key not in known and not key.startswith(FREE_TABLES):
            raise SweepError(unknown_key(key, known))


def _without_hydra(config: DictConfig) -> DictConfig:
    if "hydra" not in config:  # a job's; copying one takes longer than all else in `to_settings`
        return config
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _typed(config: DictConfig) -> DictConfig:
    """With the schema's types, which a composed one has already and one read from a file lacks."""
    schema = _schema()
    if _has_types_of(config, schema):
        return config
    return cast("DictConfig", OmegaConf.merge(schema, config))


def _has_types_of(node: Any, schema: DictConfig) -> bool:
    return OmegaConf.get_type(node) is OmegaConf.get_type(schema) and all(
        key in node and _has_types_of(node[key], child)
        for key, child in schema.items()
        if isinstance(child, DictConfig)
    )


def to_settings(config: DictConfig) -> Settings:
    """The composed configuration as frozen, validated objects.

    Raises:
        SweepError, SaeError, AnalysisError: A value breaks its rule.
    """
    own = _without_hydra(config)
    refuse_unknown_keys(own)
    try:
        return cast("Settings", OmegaConf.to_object(_typed(own)))
    except OmegaConfBaseException as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, USER_ERRORS):
            raise cause from None
        raise


def to_plain(value: Any) -> Any:
    """Settings as JSON-ready dictionaries: enums become the words that a user types."""
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in cast("list[Any]", value)]
    return value


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, whose keys have dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def without(flat: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """A flat table without some keys, and without what is below them."""
    return {
        key: value
        for key, value in flat.items()
        if not any(key == left_out or key.startswith(f"{left_out}.") for left_out in keys)
    }
