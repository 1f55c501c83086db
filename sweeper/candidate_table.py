"""The answer where recipes compete: the best candidates, with alpha and fvu at the target."""

from collections.abc import Sequence

from rich.console import Console

from sweeper.booked_trial import BookedTrial
from sweeper.candidates import Candidate, best_in_band, ranked
from sweeper.cells import Cell
from sweeper.tables import plain_table, print_table

SHOWN = 5
"""Candidates in the table."""


def print_candidates(console: Console, cell: Cell, trials: Sequence[BookedTrial]) -> None:
    """Prints a cell's best candidates; nothing where alpha alone is searched.

    Args:
        console: Where to.
        cell: The cell.
        trials: Trials of its group.
    """
    candidates = ranked(cell, [trial for trial in trials if trial.params])
    if not candidates:
        return
    has_alpha = not cell.settings.sae.architecture.sets_l0
    words = _words(candidates, has_alpha=has_alpha)
    console.print(f"{cell.name}: {words}", highlight=False, soft_wrap=True)
    keys = list(candidates[0].trial.params)
    alpha = ("alpha",) if has_alpha else ()
    table = plain_table(("trial", *keys, *alpha, "L0", "fvu", "fvu at target"))
    for candidate in candidates[:SHOWN]:
        table.add_row(*_row(candidate, keys, has_alpha=has_alpha))
    print_table(console, table)


def _words(candidates: Sequence[Candidate], *, has_alpha: bool) -> str:
    best = best_in_band(candidates)
    count = f"of {len(candidates)} candidates, {sum(c.in_band for c in candidates)} in band"
    if best is None:
        return f"no candidate is in band, {count}"
    settings = [f"{key}={_number(value)}" for key, value in best.trial.params.items()]
    if has_alpha:
        settings.append(f"l1_alpha={best.trial.l1_alpha:.4g}")
    return (
        f"fvu {best.adjusted_fvu:.4g} at the target with {', '.join(settings)} "
        f"(trial {best.trial.number}, {count})"
    )


def _row(candidate: Candidate, keys: Sequence[str], *, has_alpha: bool) -> list[str]:
    trial, record = candidate.trial, candidate.trial.record or {}
    return [
        str(trial.number),
        *(_number(trial.params[key]) for key in keys),
        *((_number(trial.l1_alpha),) if has_alpha else ()),
        f"{record['l0']:.4g}" + ("" if candidate.in_band else " (off)"),
        f"{record['fvu']:.4g}",
        f"{candidate.adjusted_fvu:.4g}",
    ]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
