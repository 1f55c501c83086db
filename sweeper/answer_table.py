"""The answer's table: alpha for each cell, in the user's units, and why a goal was not reached."""

from collections.abc import Callable, Collection, Mapping, Sequence

from rich.console import Console

from analysis import Refit, refit
from analysis.errors import AnalysisError
from analysis.trials import trials_from_records
from sweeper.agenda import Outcome
from sweeper.booked_trial import BookedTrial
from sweeper.candidate_table import print_candidates
from sweeper.cells import Cell, of_group
from sweeper.kin import share_law
from sweeper.progress import cell_state, group_trials
from sweeper.settings import to_plain
from sweeper.tables import plain_table, print_table

NO_ALPHA = "not bracketed", ""
K_SETS_L0 = "k sets L0", ""
HEADINGS = ("cell", "target", "alpha", "95 % interval", "best run", "L0", "fvu", "trials")


def print_answer(
    console: Console,
    cells: Sequence[Cell],
    trials: Sequence[BookedTrial],
    outcomes: Mapping[str, Outcome],
    canonical_factor: Callable[[Cell], float],
) -> None:
    """Prints alpha for each cell, in the user's units, and why a goal was not reached."""
    table = plain_table(HEADINGS)
    fits = _LawFits(cells, trials)
    for cell in cells:
        words = _alpha_words(cell, fits, canonical_factor(cell))
        table.add_row(*_answer_row(cell, group_trials(cell, cells, trials), words))
    print_table(console, table)
    for cell in cells:
        print_candidates(console, cell, group_trials(cell, cells, trials))
    for cell in cells:
        if not outcomes[cell.name].reached:
            line = f"{cell.name}: {outcomes[cell.name].advice}"
            console.print(line, highlight=False, soft_wrap=True)


def _answer_row(
    cell: Cell, trials: Sequence[BookedTrial], alpha_words: tuple[str, str]
) -> tuple[str, ...]:
    state = cell_state(cell, trials)
    best = state.nearest
    if best is not None and best.params and not cell.settings.sae.architecture.sets_l0:
        # A refit is of one recipe; here each candidate has its own.
        alpha, interval = f"{best.l1_alpha:.4g}", ""
    else:
        alpha, interval = alpha_words
    run = ("", "", "")
    if best is not None:
        record = best.record or {}
        where = "in band" if state.landed is not None else "off"
        run = (f"{best.number} ({where})", f"{record['l0']:.4g}", f"{record['fvu']:.3f}")
    return (cell.name, f"{cell.target_count:.4g}", alpha, interval, *run, str(len(trials)))


class _LawFits:
    """Refits of the runs of one law, which share their scatter; each is made once.

    Args:
        cells: All cells.
        trials: All finished trials.
    """

    def __init__(self, cells: Sequence[Cell], trials: Sequence[BookedTrial]) -> None:
        self._cells = cells
        self._trials = trials
        self._fits: dict[tuple[float, frozenset[str]], Refit | None] = {}

    def of(self, cell: Cell) -> Refit | None:
        """The one that a cell's runs are in; None where no run can be used."""
        plain = to_plain(cell.settings)
        of_one_law = [other for other in self._cells if share_law(plain, to_plain(other.settings))]
        alike = frozenset(name for other in of_one_law for name in of_group(other, self._cells))
        key = (cell.settings.target_l0, alike)
        if key not in self._fits:
            self._fits[key] = self._fit(*key)
        return self._fits[key]

    def _fit(self, target_l0: float, alike: Collection[str]) -> Refit | None:
        records = [trial.record or {} for trial in self._trials if trial.cell in alike]
        try:
            return refit(trials_from_records(records), target_l0=target_l0)
        except AnalysisError:  # no usable run: the line above the table says why
            return None


def _alpha_words(cell: Cell, fits: _LawFits, canonical_factor: float) -> tuple[str, str]:
    """A cell's alpha and its interval."""
    if cell.settings.sae.architecture.sets_l0:
        return K_SETS_L0
    fit = fits.of(cell)
    width = None if fit is None else fit.width(cell.settings.sae.latent_dim)
    if width is None or width.point is None:
        return NO_ALPHA
    alpha, star = width.point * canonical_factor, width.alpha_star
    if star is None:
        return f"{alpha:.4g}", ""
    return (
        f"{alpha:.4g}",
        f"{star.low * canonical_factor:.4g} - {star.high * canonical_factor:.4g}",
    )
