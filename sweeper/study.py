"""A study from its search space to its report, whoever runs the trials."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from rich.console import Console

from sweeper.agenda import Outcome
from sweeper.budgets import with_budgets
from sweeper.cell_search import CellSearch
from sweeper.cells import Cell, make_cells, study_definition
from sweeper.config_errors import unknown_keys
from sweeper.controller import Controller, SweepInterruptedError
from sweeper.display import Display
from sweeper.dry_run import show_plan
from sweeper.earlier_cells import with_earlier
from sweeper.errors import SweepError
from sweeper.execution.crew import Crew, enlisted
from sweeper.execution.executor import Executor
from sweeper.finish import finish
from sweeper.own_trainer import load_trainer
from sweeper.patience import no_answer
from sweeper.progress import CellState, cell_state, group_trials
from sweeper.reporting import known_to_jobs
from sweeper.settings import Settings
from sweeper.space import SearchSpace
from sweeper.storage import storage_for, storage_lost
from sweeper.study_folder import (
    FOLDER_ID,
    create_folder,
    default_study_name,
    refuse_unknown_trials,
    settle_definition,
)
from sweeper.study_home import StudyHome, settle_home
from sweeper.sweep_config import SweepConfig
from sweeper.trial_book import TrialBook


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyOutcome:
    """What a study came to."""

    folder: Path
    reached: bool
    """Whether every cell reached its goal."""
    answers: tuple[CellState, ...] = ()
    """What each cell of full runs came to, in their order; none of a dry run."""
    advice: tuple[str, ...] = ()
    """Why goals were not reached, and what may help."""


def run_study(
    sweep: SweepConfig,
    space: SearchSpace,
    compose: Callable[[Sequence[str]], Settings],
    parent: Path,
    make_executor: Callable[[Path], Executor],
    console: Console,
) -> StudyOutcome:
    """Runs the study that the arguments ask for, or goes on with it.

    Args:
        sweep: Name, storage and budget of the study.
        space: What is asked for, as `parse_space` reads it.
        compose: Gives the settings for a list of plain overrides.
        parent: The study's folder goes in here.
        make_executor: Given the study's folder, gives what runs its trials.
        console: Where progress and answer go.

    Raises:
        SweepError, SaeError, AnalysisError: Something asked for cannot be; one line says what.
        KeyboardInterrupt: The study was stopped; the same arguments go on with it.
    """
    asked = _study_asked_for(sweep, space, compose, parent)
    if sweep.dry_run:
        show_plan(asked.cells, space, asked.search, console)
        return StudyOutcome(folder=asked.folder, reached=True)
    try:
        return _run(asked, make_executor, console)
    except no_answer() as error:
        raise storage_lost(error, sweep.storage) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class _AskedStudy:
    """A study as a command asks for it, whatever there is of it already."""

    sweep: SweepConfig
    space: SearchSpace
    cells: tuple[Cell, ...]
    search: CellSearch
    definition: Mapping[str, Any]
    folder: Path


def _study_asked_for(
    sweep: SweepConfig,
    space: SearchSpace,
    compose: Callable[[Sequence[str]], Settings],
    parent: Path,
) -> _AskedStudy:
    """The study; what is misspelt, or cannot be opened, is told before anything starts."""
    cells = _cells_asked_for(sweep, space, compose)
    search = CellSearch(cells, space)
    definition = study_definition(cells, space, search.data_fingerprint)
    return _AskedStudy(
        sweep=sweep,
        space=space,
        cells=cells,
        search=search,
        definition=definition,
        folder=parent / (sweep.study_name or default_study_name(definition)),
    )


def _cells_asked_for(
    sweep: SweepConfig, space: SearchSpace, compose: Callable[[Sequence[str]], Settings]
) -> tuple[Cell, ...]:
    """The study's cells, those of shorter budgets among them."""
    for line in unknown_keys([*(axis.key for axis in space.axes), *space.searched]):
        raise SweepError(line)
    cells = with_budgets(make_cells(space, compose), space, compose)
    if sweep.train is not None:
        load_trainer(sweep.train)
    return cells


def _run(
    asked: _AskedStudy, make_executor: Callable[[Path], Executor], console: Console
) -> StudyOutcome:
    """Runs the study from its folder to its answer."""
    sweep = asked.sweep
    create_folder(asked.folder)
    with (
        enlisted(asked.folder, join=sweep.join) as crew,
        known_to_jobs(sweep.storage),
        storage_for(sweep.storage, asked.folder) as storage,
    ):
        cells, book = _settled(asked, storage, crew)
        asked.search.read_from(book, cells)
        display = Display(console, cells, book.known_trials())
        controller = Controller(
            cells=cells,
            space=asked.space,
            book=book,
            crew=crew,
            folder=asked.folder,
            executor=make_executor(asked.folder),
            slots=sweep.slots,
            pack=sweep.pack,
            watcher=display,
            distribution=asked.search.distribution,
        )
        for line in (f"study {asked.folder.name} in {asked.folder}", *asked.search.notes()):
            console.print(line, soft_wrap=True, highlight=False)
        outcomes = _run_all(controller, display)
        if controller.trials_run == 0 and all(outcome.reached for outcome in outcomes.values()):
            console.print("nothing to do: all that was asked for is there", highlight=False)
        with crew.turn():
            reached = finish(asked.folder, book, cells, outcomes, asked.search, console)
        answers = _answers(cells, book)
    advice = dict.fromkeys(outcome.advice for outcome in outcomes.values() if outcome.advice)
    return StudyOutcome(
        folder=asked.folder, reached=reached, answers=answers, advice=tuple(advice)
    )


def _answers(cells: Sequence[Cell], book: TrialBook) -> tuple[CellState, ...]:
    """The same that are printed."""
    trials = [trial for trial in book.known_trials() if trial.record is not None]
    full = [cell for cell in cells if cell.budget == 1]  # short runs only informed these
    return tuple(cell_state(cell, group_trials(cell, cells, trials)) for cell in full)


def _settled(
    asked: _AskedStudy, storage: BaseStorage, crew: Crew
) -> tuple[tuple[Cell, ...], TrialBook]:
    """Makes the study, or joins what is there of it; no other command does so meanwhile.

    Returns:
        The cells, each with what the study's other cells are to it, and the study's trials.
    """
    folder, sweep = asked.folder, asked.sweep
    with crew.turn():
        known = settle_definition(folder, asked.definition, mixed=sweep.mixed)
        if sweep.storage is not None:
            home = StudyHome.of(folder, known[FOLDER_ID])
            settle_home(storage, folder.name, [cell.name for cell in asked.cells], home)
        cells = with_earlier(asked.cells, known)
        book = TrialBook(
            storage, folder.name, cells, asked.search.sampler, asked.space.searched, crew.name
        )
        refuse_unknown_trials(folder, [trial.number for trial in book.all_trials()])
    return cells, book


def _run_all(controller: Controller, display: Display) -> dict[str, Outcome]:
    """Runs the trials under a live table; tells what stopped them in one line."""
    try:
        with display.showing():
            return controller.run_all()
    except SweepInterruptedError as stop:
        raise KeyboardInterrupt(str(stop)) from None
