"""Composing again and again: jobs that choose the same groups and differ in values alone."""

import copy
import os
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import IConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

SEARCH_PATH = "hydra.searchpath"
READ_WHILE_COMPOSING = (SEARCH_PATH, "hydra.runtime", "hydra.job.env_copy")
"""Values that Hydra looks at before a configuration is complete."""


class RepeatedComposing(ConfigLoaderImpl):
    """Hydra's loader, which reads and merges the files of a choice of groups only once.

    A job's configuration is a copy of that of its groups, with its values set as Hydra sets them;
    the tests hold it to what Hydra composes.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        """Composes nothing yet.

        Args:
            loader: Whose search path is used.
        """
        super().__init__(loader.get_search_path())
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._repositories: dict[tuple[str, ...], IConfigRepository] = {}

    def __getstate__(self) -> dict[str, Any]:
        """To another process without what was composed: it may never need it."""
        return {**self.__dict__, "_composed": {}, "_repositories": {}}

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """See `ConfigLoader.load_sweep_config`."""
        parsed = OverridesParser.create().parse_overrides(sweep_overrides)
        if any(override.key_or_group == SEARCH_PATH for override in parsed):
            return super().load_sweep_config(master_config, sweep_overrides)
        repository = self._repository_of(master_config)
        values = [override for override in parsed if _is_value(override, repository)]
        groups = [str(override.input_line) for override in parsed if override not in values]
        config = copy.deepcopy(self._compose_groups(master_config, groups))
        self._apply_overrides_to_config(values, config)
        _note(config, parsed, values)
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _repository_of(self, master_config: DictConfig) -> IConfigRepository:
        """The groups of the loader's search path and of `hydra.searchpath`."""
        overrides = tuple(master_config.hydra.overrides.hydra)
        if overrides not in self._repositories:
            _, self._repositories[overrides] = self._parse_overrides_and_create_caching_repo(
                master_config.hydra.job.config_name, list(overrides)
            )
        return self._repositories[overrides]

    def _compose_groups(self, master_config: DictConfig, groups: Sequence[str]) -> DictConfig:
        key = (*master_config.hydra.overrides.hydra, *groups)
        if key not in self._composed:
            self._composed[key] = super().load_sweep_config(master_config, list(groups))
        return self._composed[key]


def _is_value(override: Override, repository: IConfigRepository) -> bool:
    """Whether it sets, adds or deletes a value, and chooses no group."""
    if override.is_sweep_override() or override.package is not None:
        return False
    key = override.key_or_group
    is_group = repository.group_exists(key) and not isinstance(override.value(), dict)
    return not is_group and not key.startswith(READ_WHILE_COMPOSING)


def _note(config: DictConfig, parsed: Sequence[Override], values: Sequence[Override]) -> None:
    """Writes into `hydra` what the command line was, as Hydra does."""
    hydra = config.hydra
    hydra.overrides.hydra += [o.input_line for o in values if o.is_hydra_override()]
    for key in hydra.job.env_copy:
        hydra.job.env_set[key] = os.environ[key]
    note_overrides(config, [override for override in parsed if not override.is_hydra_override()])


def note_overrides(config: DictConfig, own: Sequence[Override]) -> None:
    """Writes into `hydra` what the application was told, as Hydra does.

    Args:
        config: Changed in place.
        own: The overrides that are not Hydra's.
    """
    hydra = config.hydra
    hydra.overrides.task = [override.input_line for override in own]
    naming = hydra.job.config.override_dirname
    hydra.job.override_dirname = get_overrides_dirname(
        overrides=list(own),
        kv_sep=naming.kv_sep,
        item_sep=naming.item_sep,
        exclude_keys=naming.exclude_keys,
    )


def composing_once(context: HydraContext) -> HydraContext:
    """Hydra's context, with a loader that composes a choice of groups once."""
    return HydraContext(
        config_loader=RepeatedComposing(context.config_loader), callbacks=context.callbacks
    )
