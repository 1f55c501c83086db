"""Hydra 1.3 finds plugins in this namespace only; the sweeper itself is `sweeper.law_sweeper`."""

from collections.abc import Sequence
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.sae_sweeper.config import Grammar, register


class LawSweeper(Sweeper):
    """Searches L1 alpha for a target L0 in every cell of a grid; or what hos configurations ask.

    Args:
        _options: `hydra.sweeper`; read from the configuration in `sweep`.
    """

    def __init__(self, **_options: Any) -> None:
        pass

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
        if self.hydra_context is None or self.config is None:
            raise RuntimeError("setup() must be called before sweep()")
        context = (self.hydra_context, self.task_function, self.config, list(arguments))
        # Hydra imports every plugin at every start; the trainer is loaded only for a sweep.
        if self.config.hydra.sweeper.grammar is Grammar.hos:
            from sweeper.hos.sweep import run_hos

            status = run_hos(*context)
        else:
            from sweeper.law_sweeper import run_sweep

            status = run_sweep(*context)
        if status != 0:
            raise SystemExit(status)


register()
