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

from sweeper.cell_search import CellSearch
from sweeper.cells import Cell, make_cells, study_definition
from sweeper.config_errors import unknown_keys
from sweeper.controller import Controller, Interrupted, record_failure
from sweeper.display import Display
from sweeper.errors import SweepError
from sweeper.finish import finish
from sweeper.record import git_sha
from sweeper.settings import USER_ERRORS, Settings, to_settings
from sweeper.space import SearchSpace, parse_space
from sweeper.storage import open_storage, redacted
from sweeper.study_folder import (
    create_folder,
    default_study_name,
    only_controller,
    settle_definition,
    trial_directory_name,
)
from sweeper.sweep_config import SweepConfig
from sweeper.trial_book import BookedTrial, TrialBook


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
    space = parse_space(arguments)
    for line in unknown_keys(axis.key for axis in space.axes):
        raise SweepError(line)

    def compose(overrides: Sequence[str]) -> Settings:
        return to_settings(
            hydra_context.config_loader.load_sweep_config(config, list(overrides))
        )

    sweep = cast("SweepConfig", OmegaConf.to_object(config.sweep))
    cells = make_cells(space, compose)
    search = CellSearch(cells, space)
    definition = study_definition(cells, space, search.data_fingerprints())
    name = sweep.study_name or default_study_name(definition)
    folder = Path(config.hydra.sweep.dir) / name
    create_folder(folder)
    with only_controller(folder):
        settle_definition(folder, definition)
        _write_provenance(folder, config, arguments, sweep)
        launcher = _launcher(hydra_context, task_function, config, folder)
        return _run_study(sweep, cells, space, search, folder, launcher)


def _run_study(
    sweep: SweepConfig,
    cells: Sequence[Cell],
    space: SearchSpace,
    search: CellSearch,
    folder: Path,
    launcher: Launcher,
) -> int:
    book = TrialBook(open_storage(sweep.storage, folder), folder.name, cells, search.sampler)
    search.read_from(book)
    console = Console()
    display = Display(console, cells, book.trials())
    controller = Controller(
        cells=cells,
        space=space,
        book=book,
        folder=folder,
        run=LauncherRun(launcher, folder),
        watcher=display,
        distribution=search.distribution,
    )
    console.print(f"study {folder.name} in {folder}", soft_wrap=True, highlight=False)
    try:
        with display.showing():
            outcomes = controller.run_all()
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None
    if controller.trials_run == 0:
        console.print("nothing to do: all that was asked for is there", highlight=False)
    return finish(folder, book, cells, outcomes, console)


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
            SweepError, SaeError, AnalysisError, OSError: The trial's input or the disk is at
                fault, so that other trials would do no better.
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
        if isinstance(error, (*USER_ERRORS, OSError)):
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


def _write_provenance(
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

