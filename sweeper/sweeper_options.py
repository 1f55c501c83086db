"""What of Hydra's own keys is heeded: with `grammar=law` `params` alone of `hydra.sweeper`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.sae_sweeper.config import SAMPLERS, LawSweeperConfig
from sweeper.errors import SweepError
from sweeper.keys import may_hold_a_password

INSTEAD = {
    "sampler": "sweep.sampler",
    "storage": "sweep.storage",
    "study_name": "sweep.study_name",
    "n_trials": "sweep.n_trials",
    "n_jobs": "sweep.slots",
    "max_failure_rate": "sweep.max_retries",
    "search_space": "hydra.sweeper.params",
    "direction": "sweep.goal",
    "custom_search_space": "hydra.sweeper.params",
}
"""For each key of hydra-optuna-sweeper, what says it here."""


def known_options(config: DictConfig) -> dict[str, Any]:
    """`hydra.sweeper` of a composed configuration.

    Raises:
        SweepError: It holds a key that nothing reads, as `+hydra.sweeper.key=...` would add it.
    """
    content = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    options = cast("dict[str, Any]", content)
    known = {each.name for each in fields(LawSweeperConfig)}
    for key in sorted(options.keys() - known):
        raise SweepError(
            f"hydra.sweeper must hold none but {', '.join(sorted(known))}, but got {key!r}."
        )
    return options


def lacking_groups(config: DictConfig) -> list[str]:
    """What a study needs and the configuration of another application than `sae-sweep` has not."""
    needed = ("activations", "sae", "objective", "trainer", "prior", "sweep")
    return [group for group in needed if group not in config]


def refuse_chdir(chdir: bool | None) -> None:
    """Refuses jobs that start elsewhere: paths of data, storage and trainers would not be found.

    Args:
        chdir: `hydra.job.chdir`.

    Raises:
        SweepError: They would.
    """
    if chdir:
        raise SweepError(
            "hydra.job.chdir must be false, since relative paths start where the command does, "
            "but got true."
        )


def law_params(config: DictConfig) -> Mapping[str, Any]:
    """`hydra.sweeper.params` of an application.

    Raises:
        SweepError: A key is set that only `hydra.sweeper.grammar=hos` reads.
    """
    options = known_options(config)
    defaults = OmegaConf.to_container(OmegaConf.structured(LawSweeperConfig))
    expected = cast("dict[str, Any]", defaults) | {"sampler": {"seed": None, **SAMPLERS["tpe"]}}
    for key, instead in INSTEAD.items():
        if options.get(key) != expected[key]:
            shown = "a value" if may_hold_a_password(key) else repr(options.get(key))
            raise SweepError(
                f"hydra.sweeper.{key} must be left as it is with hydra.sweeper.grammar=law, "
                f"where {instead} says it, but got {shown}."
            )
    return options["params"] or {}
