"""The live table of a running sweep: cells with their best answer so far, and what runs now."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sae.history import HISTORY_FILE, HistoryRow, read_history
from sae.recipe import full_strength_from
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.progress import CellState, cell_state, group_trials
from sweeper.projection import project
from sweeper.record import Ticket
from sweeper.settings import Settings
from sweeper.tables import plain_table

CELL_HEADINGS = ("cell", "target", "trials", "best L0", "alpha", "fvu", "state")
RUNNING_HEADINGS = ("running", "alpha", "step", "L0", "ends at", "fvu", "left")

Running = tuple[BookedTrial, Cell, Path]
"""A trial with its cell and directory."""


def live_table(
    cells: Sequence[Cell], trials: Mapping[int, BookedTrial], running: Sequence[Running]
) -> Group:
    """Everything that the terminal shows while a sweep runs.

    Args:
        cells: All cells.
        trials: What has ended, by number.
        running: What runs now.
    """
    table = plain_table(CELL_HEADINGS, left=("cell", "state"))
    for cell in cells:
        table.add_row(*_cell_row(cell, cells, trials.values()))
    slots = max(cell.settings.sweep.slots for cell in cells)
    busy = Text(f"{_number_of_jobs(running)} of {slots} slots busy")
    return Group(table, Text(""), busy, *([_running_table(running)] if running else []))


def _number_of_jobs(running: Sequence[Running]) -> int:
    """Trials of a pack share a job, and so a slot."""
    packs = [Ticket.read(directory).pack or (trial.number,) for trial, _, directory in running]
    return len({tuple(pack) for pack in packs})


def _cell_row(cell: Cell, cells: Sequence[Cell], trials: Iterable[BookedTrial]) -> tuple[str, ...]:
    mine = group_trials(cell, cells, trials)
    state = cell_state(cell, mine)
    start = (cell.name, f"{cell.target_count:.4g}", str(len(mine)))
    if state.nearest is None or state.nearest.record is None:
        return (*start, "", "", "", "")
    record = state.nearest.record
    alpha = shown_alpha(cell, record["l1_alpha"])
    best = (f"{record['l0']:.4g}", alpha, f"{record['fvu']:.3f}")
    return (*start, *best, _state_words(state))


def shown_alpha(cell: Cell, alpha: float) -> str:
    """An alpha of the cell; empty where k sets L0 and there is none."""
    return "" if cell.settings.sae.architecture.sets_l0 else f"{alpha:.4g}"


def _state_words(state: CellState) -> str:
    if state.landed is None:
        return ""
    return "in band, bracketed" if state.bracketed else "in band"


def _running_table(running: Sequence[Running]) -> Table:
    table = plain_table(RUNNING_HEADINGS, left=("running",))
    for trial, cell, directory in running:
        name = f"{trial.number}: {cell.name}"
        settings = cell.candidate(trial.params)
        rows = read_history(directory / HISTORY_FILE)
        table.add_row(name, shown_alpha(cell, trial.l1_alpha), *_progress(settings, rows))
    return table


def _progress(settings: Settings, rows: Sequence[HistoryRow]) -> tuple[str, ...]:
    if not rows:
        return ("starting", "", "", "", "")
    last, total = rows[-1], settings.trainer.total_steps
    left = last.seconds / last.step * (total - last.step)
    return (
        f"{last.step}/{total}",
        f"{last.l0:.4g}",
        projected_words(settings, rows),
        f"{last.fvu:.3f}",
        f"{left:.0f} s",
    )


def projected_words(settings: Settings, rows: Sequence[HistoryRow]) -> str:
    """Where L0 is going to end, as far as the curve says it; empty where it says nothing yet."""
    trainer = settings.trainer
    settled = 0 if settings.sweep.train else full_strength_from(trainer)
    found = project(
        [row.step for row in rows], [row.l0 for row in rows], trainer.total_steps, settled
    )
    return "" if found is None else f"{math.exp(found.ln_l0):.4g}"
