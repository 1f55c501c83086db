"""What `hydra/sweeper: law` does: from a command line to a finished study."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from sweeper.cells import Cell
from sweeper.controller import record_failure
from sweeper.record import git_sha
from sweeper.settings import USER_ERRORS, Settings, to_settings
from sweeper.storage import redacted
from sweeper.study import run_study
from sweeper.study_folder import trial_directory_name, unusable_folder
from sweeper.sweep_config import SweepConfig
from sweeper.trial_book import BookedTrial


def run_sweep(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    arguments: Sequence[str],
) -> int:
    """Runs the study that a `--multirun` command line asks for, or goes on with it.

    Returns:
        The exit status: 0 where every cell reached its goal, otherwise 1.

    Raises:
        SweepError, SaeError, AnalysisError: Something asked for cannot be; one line says what.
        KeyboardInterrupt: The study was stopped; the same command goes on with it.
    """

    def compose(overrides: Sequence[str]) -> Settings:
        return to_settings(hydra_context.config_loader.load_sweep_config(config, list(overrides)))

    def make_runner(folder: Path) -> LauncherRun:
        write_provenance(folder, config, arguments, sweep)
        return LauncherRun(_launcher(hydra_context, task_function, config, folder), folder)

    sweep = cast("SweepConfig", OmegaConf.to_object(config.sweep))
    parent = Path(config.hydra.sweep.dir)
    outcome = run_study(sweep, arguments, compose, parent, make_runner, Console())
    return 0 if outcome.reached else 1


def _launcher(
    hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig, folder: Path
) -> Launcher:
    config = config.copy()
    with open_dict(config):
        config.hydra.sweep.dir = str(folder)
    return Plugins.instance().instantiate_launcher(
        hydra_context=hydra_context, task_function=task_function, config=config
    )


class LauncherRun:
    """Runs one trial through Hydra's launcher.

    Args:
        launcher: Any Hydra launcher.
        folder: The study's folder.
    """

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self._launcher = launcher
        self._folder = folder

    def __call__(self, trial: BookedTrial, cell: Cell, directory: Path) -> None:
        """Runs the trial; it leaves `result.json`, also where it failed.

        Raises:
            SweepError, SaeError, AnalysisError: The trial's input or the disk is at fault, so
                that other trials would do no better.
        """
        overrides = [
            *cell.overrides,
            f"seed={trial.seed}",
            *_alpha_override(trial, cell),
            f"hydra.sweep.dir={_quoted(str(self._folder))}",
            f"hydra.sweep.subdir={trial_directory_name(trial.number)}",
        ]
        [job] = self._launcher.launch([overrides], initial_job_idx=trial.number)
        error = _error_of(job)
        if error is None:
            return
        if isinstance(error, OSError):
            raise unusable_folder(directory, error)
        if isinstance(error, USER_ERRORS):
            raise error
        text = "".join(traceback.format_exception(error))
        (directory / "error.txt").write_text(text)
        record_failure(directory, trial, cell, error)


def _alpha_override(trial: BookedTrial, cell: Cell) -> tuple[str, ...]:
    return () if cell.settings.sae.architecture.sets_l0 else (f"l1_alpha={trial.l1_alpha!r}",)


def _error_of(job: JobReturn) -> BaseException | None:
    if job.status is JobStatus.COMPLETED:
        return None
    # The public property prints to stderr and raises; the exception itself is wanted here.
    return cast("BaseException", job._return_value)  # pyright: ignore[reportPrivateUsage]


def _quoted(text: str) -> str:
    """A string as Hydra's override grammar reads it back unchanged."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def write_provenance(
    folder: Path, config: DictConfig, arguments: Sequence[str], sweep: SweepConfig
) -> None:
    """Writes `multirun.yaml`, which only Hydra's own sweeper would; a password is not in it."""
    shown = OmegaConf.to_container(config, resolve=False)
    content = cast("dict[str, Any]", shown)
    told = [text for text in arguments if not text.lstrip("+").startswith("sweep.storage")]
    content["hydra"]["overrides"]["task"] = told
    if sweep.storage is not None:
        content["sweep"]["storage"] = redacted(sweep.storage)
    content["git_sha"] = git_sha()
    OmegaConf.save(OmegaConf.create(content), folder / "multirun.yaml")
