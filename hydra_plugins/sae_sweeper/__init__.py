"""Hydra 1.3 finds plugins in this namespace only; the sweeper itself is `sweeper.law_sweeper`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LawSweeperConfig:
    """What `hydra/sweeper: law` may be told."""

    _target_: str = "hydra_plugins.sae_sweeper.LawSweeper"
    _recursive_: bool = False


class LawSweeper(Sweeper):
    """Searches L1 alpha for a target L0 in every cell of a grid."""

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Keeps what Hydra hands over."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Runs the study that the command line asks for; a missed goal is exit status 1."""
        # Hydra imports every plugin at every start; the trainer is loaded only for a sweep.
        from sweeper.law_sweeper import run_sweep

        if self.hydra_context is None or self.config is None:
            raise RuntimeError("setup() must be called before sweep()")
        status = run_sweep(self.hydra_context, self.task_function, self.config, list(arguments))
        if status != 0:
            raise SystemExit(status)


ConfigStore.instance().store(
    group="hydra/sweeper", name="law", node=LawSweeperConfig, provider="sae-sweep"
)
