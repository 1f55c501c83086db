"""The end of a sweep: tables, law, report, weights that stay, and the answer."""

import io
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from pandas.api.types import infer_dtype
from rich.console import Console

from analysis import Refit, refit
from analysis.errors import AnalysisError
from analysis.formatting import exact
from analysis.law import Law
from analysis.trials import trials_from_records
from sae.files import write_atomically
from sweeper.agenda import Outcome
from sweeper.answer import answer_lines
from sweeper.answer_table import print_answer
from sweeper.booked_trial import BookedTrial
from sweeper.cell_search import CellSearch
from sweeper.cells import Cell, of_group
from sweeper.earlier_cells import with_earlier
from sweeper.progress import cell_state, group_trials
from sweeper.study_folder import read_definition, trial_directory_name
from sweeper.sweep_config import Keep
from sweeper.trial_book import TrialBook


def finish(
    folder: Path,
    book: TrialBook,
    cells: Sequence[Cell],
    outcomes: Mapping[str, Outcome],
    search: CellSearch,
    console: Console,
) -> bool:
    """Writes everything that a study leaves, and prints the answer first.

    Args:
        folder: The study's folder.
        book: Its trials.
        cells: Its cells.
        outcomes: What each cell came to.
        search: What is known of the cells' curves.
        console: Where the answer goes.

    Returns:
        Whether every cell reached its goal.
    """
    trials = [trial for trial in book.known_trials() if trial.record is not None]
    # Other commands may have added cells meanwhile.
    cells = with_earlier(cells, read_definition(folder))
    keep_weights(folder, cells, trials)
    cells = [cell for cell in cells if cell.budget == 1]  # short runs only informed these
    told = [trial for trial in book.all_trials() if trial.record is not None]
    table = trials_from_records([trial.record or {} for trial in told])
    write_tables(table, folder)
    targets = list(dict.fromkeys(cell.settings.target_l0 for cell in cells))
    steps = cells[0].settings.trainer.total_steps
    fits = [of_steps(fit, steps) for fit in _refits(table, targets, console)]
    save_law(folder, [each for fit in fits for each in _of_length(fit, steps)], console)
    print_answer(console, cells, trials, outcomes, search.canonical_factor)
    for fit in fits:
        if fit.recipe.has_alpha:
            console.print(exponent_words(fit, among=targets), highlight=False, soft_wrap=True)
    for cell in cells:
        for line in answer_lines(
            cell, group_trials(cell, cells, trials), search.chance_next_lands
        ):
            console.print(line, highlight=False, soft_wrap=True)
    for line in search.data_warnings():
        console.print(line, highlight=False, soft_wrap=True)
    for fit in fits:
        if cells[0].settings.sweep.report:
            report = str(write_one_report(folder, table, fit, fits[0], cells))
        else:
            report = report_command(folder, fit)
        console.print(f"report: {report}", soft_wrap=True, highlight=False)
    return all(outcomes[cell.name].reached for cell in cells)


def of_steps(fit: Refit, total_steps: int) -> Refit:
    """The fit of the runs of that length, among those that a table's groups gave."""
    full = [other for other in fit.others if other.recipe.total_steps == total_steps]
    if fit.recipe.total_steps == total_steps or not full:
        return fit
    shared = fit.recipe.without_budget()
    kin = [other for other in full if other.recipe.without_budget() == shared]
    return fit.led_by((kin or full)[0])


def write_tables(table: pd.DataFrame, folder: Path) -> None:
    """Writes `trials.csv` and `trials.parquet`."""
    write_atomically(folder / "trials.csv", table.to_csv(index=False).encode())
    buffer = io.BytesIO()
    table.apply(_of_one_kind).to_parquet(buffer, index=False)
    write_atomically(folder / "trials.parquet", buffer.getvalue())


def _of_one_kind(column: pd.Series) -> pd.Series:
    """A column that a trainer filled with numbers here and texts there, as text for Parquet."""
    is_mixed = infer_dtype(column, skipna=True) in ("mixed", "mixed-integer")
    return column.map(str, na_action="ignore") if is_mixed else column


def _refits(table: pd.DataFrame, targets: Sequence[float], console: Console) -> list[Refit]:
    fits: list[Refit] = []
    for target in targets:
        try:
            fits.append(refit(table, target_l0=target))
        except AnalysisError as error:
            line = f"no refit for target {target:g}: {error}"
            console.print(line, highlight=False, soft_wrap=True)
    return fits


def report_command(folder: Path, fit: Refit) -> str:
    """What writes a study's report for one target."""
    return shlex.join(["sae-analysis", "report", str(folder), "--target-l0", exact(fit.target_l0)])


def write_one_report(
    folder: Path, table: pd.DataFrame, fit: Refit, first: Refit, cells: Sequence[Cell]
) -> Path:
    """Writes the report for one target: the first in `report/`, others in a folder below it."""
    name = f"target_l0={fit.target_l0:g}"
    # Imported here so that no trial waits for what draws figures.
    from analysis.report import write_report

    return write_report(
        table,
        fit,
        folder / "report" if fit is first else folder / "report" / name,
        title=folder.name if fit is first else f"{folder.name}, {name}",
        command=report_command(folder, fit),
        tolerance=cells[0].settings.sweep.tolerance,
        study=folder,
    )


def _of_length(fit: Refit, total_steps: int) -> Iterator[Refit]:
    """The fit of one target, then those of the table's other runs of that length."""
    yield fit
    yield from (other for other in fit.others if other.recipe.total_steps == total_steps)


def save_law(folder: Path, fits: Sequence[Refit], console: Console) -> None:
    """Writes `law.json` of the first fit that gives a law, or says why there is none.

    A law is one of alpha: where there is none nothing is said of it.

    Args:
        folder: The study's.
        fits: Those of the first target come first.
        console: Where it says so if the law is not the first one's.
    """
    file = folder / "law.json"
    reasons: list[str] = []
    for fit in fits:
        if not fit.recipe.has_alpha:
            continue
        try:
            law = Law.from_refit(fit)
        except AnalysisError as error:
            reasons.append(str(error))
            continue
        law.save(file)
        if reasons:
            whose = f"{fit.recipe.describe()} at target {fit.target_l0:g}"
            line = f"law file: of {whose}, since the first has none: {reasons[0]}"
            console.print(line, highlight=False, soft_wrap=True)
        return
    file.unlink(missing_ok=True)
    if reasons:
        line = f"no law file: {reasons[0]}"
        console.print(line, highlight=False, soft_wrap=True)


def keep_weights(folder: Path, cells: Sequence[Cell], trials: Sequence[BookedTrial]) -> None:
    """Removes the weights that `sweep.keep` does not ask for, of the runs that the cells share.

    `best` keeps, per cell, the run that is its answer, or the nearest while none is in band; so
    also for cells of earlier commands that share runs with these.
    """
    keep = cells[0].settings.sweep.keep
    if keep is Keep.all:
        return
    kept: set[int] = set()
    if keep is Keep.best:
        for cell in _with_earlier_targets(cells):
            nearest = cell_state(cell, group_trials(cell, cells, trials)).nearest
            kept |= set() if nearest is None else {nearest.number}
    own = {name for cell in cells for name in of_group(cell, cells)}
    for trial in trials:
        weights = folder / trial_directory_name(trial.number) / "sae"
        if trial.cell in own and trial.number not in kept and weights.exists():
            shutil.rmtree(weights)


def _with_earlier_targets(cells: Sequence[Cell]) -> Iterator[Cell]:
    """The full cells, and each once more for every target of earlier commands."""
    for cell in cells:
        if cell.budget != 1:
            continue
        yield cell
        for name, target in cell.earlier_targets.items():
            yield replace(cell, name=name, settings=replace(cell.settings, target_l0=target))


def exponent_words(fit: Refit, *, among: Sequence[float]) -> str:
    """One sentence on alpha's exponent in width, or why there is none.

    Args:
        fit: That of one target.
        among: The targets that have a sentence each.
    """
    if fit.exponent is None:
        target = f" at target {fit.target_l0:g}" if len(among) > 1 else ""
        return f"exponent in width{target}: not stated, {fit.exponent_reason}"
    beta = fit.exponent.beta
    return (
        f"alpha goes as latent_dim^{beta.value:.2f} ({beta.low:.2f} to {beta.high:.2f}) at "
        f"target {fit.target_l0:g}, for {fit.recipe.describe()}; status: {fit.status.value}"
    )
