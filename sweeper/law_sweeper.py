"""What `hydra/sweeper: law` does: from a command line to a finished study."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from sweeper.composing import SEARCH_PATH, composing_once
from sweeper.concealment import conceal_storage, without_storage
from sweeper.execution.devices import refuse_absent_device
from sweeper.execution.executor import Executor
from sweeper.execution.launchers import OF_THIS_MACHINE, kind_of_launcher, make_executor
from sweeper.keys import bare_key
from sweeper.messages import EXIT_BAD_INPUT
from sweeper.output import Output
from sweeper.record import git_sha
from sweeper.settings import Settings, refuse_unknown_keys, to_settings
from sweeper.space import parse_space
from sweeper.storage import shown
from sweeper.study import run_study
from sweeper.sweep_config import SweepConfig
from sweeper.sweeper_options import lacking_groups, law_params, refuse_chdir

PROVENANCE_FILE = "multirun.yaml"
GIVEN = "command-line"
"""What Hydra calls the folder of `--config-dir` among its sources."""


def run_sweep(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    arguments: Sequence[str],
) -> int:
    """Runs the study that a `--multirun` command line asks for, or goes on with it.

    Returns:
        The exit status: 0 where every cell reached its goal, otherwise 1; 2 in an application
        other than `sae-sweep`, which would show an exception as a traceback.

    Raises:
        SweepError, SaeError, AnalysisError: Something asked for cannot be; one line says what.
        KeyboardInterrupt: The study was stopped; the same command goes on with it.
    """
    if lacking := lacking_groups(config):
        sys.stderr.write(
            "hydra/sweeper=law: hydra.sweeper.grammar must be hos in an application whose "
            f"configuration has no {', '.join(lacking)}, but got law.\n"
        )
        return EXIT_BAD_INPUT
    params = law_params(config)
    refuse_chdir(config.hydra.job.chdir)
    refuse_unknown_keys(config)
    sweep = cast("SweepConfig", OmegaConf.to_object(config.sweep))
    space = replace(
        parse_space(without_storage(arguments), params, hydra_context.config_loader),
        config_flags=config_flags(config),
    )
    conceal_storage(config)
    context = composing_once(hydra_context)
    runs_here = kind_of_launcher(config) in OF_THIS_MACHINE

    def compose(overrides: Sequence[str]) -> Settings:
        settings = to_settings(context.config_loader.load_sweep_config(config, list(overrides)))
        if runs_here:
            refuse_absent_device(settings)
        return settings

    def executor(folder: Path) -> Executor:
        if not (sweep.join and (folder / PROVENANCE_FILE).exists()):
            write_provenance(folder, config, sweep.storage)
        return make_executor(context, task_function, config, folder, sweep.storage)

    parent = Path(config.hydra.sweep.dir)
    outcome = run_study(
        sweep, space, compose, parent, executor, Output("the same command goes on.")
    )
    return 0 if outcome.reached else 1


def config_flags(config: DictConfig) -> tuple[str, ...]:
    """What the command line named configurations with beside its overrides."""
    hydra = config.hydra
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == GIVEN]
    names = [name for name in (hydra.job.config_name,) if name != "config"]
    return (
        *(f"--config-dir={folder}" for folder in folders),
        *(f"--config-name={name}" for name in names),
        *(line for line in hydra.overrides.hydra if bare_key(line).startswith(SEARCH_PATH)),
    )


def write_provenance(folder: Path, config: DictConfig, storage: str | None) -> None:
    """Writes `multirun.yaml`, which only Hydra's own sweeper would; a password is not in it."""
    content = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=False))
    content["sweep"]["storage"] = shown(storage)
    content["git_sha"] = git_sha()
    OmegaConf.save(OmegaConf.create(content), folder / PROVENANCE_FILE)
