"""The report's tables, as they are written to CSV and shown in the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import formatting as show
from analysis.console import records_of
from analysis.report.data import ReportData
from analysis.results import Refit, WidthResult
from analysis.selection import dividers
from analysis.typed_tables import ALPHA_UNITS

_TRIAL_COLUMNS = (
    "trial", "cell", "state", "verdict", "guide_verdict", "architecture", "penalty", "latent_dim",
    "d_in", "l1_alpha", "alpha_canonical", "l0", "l0_se", "l0_fraction", "l0_alive_fraction",
    "log_error", "landed", "converged", "fvu", "mse", "l1", "loss", "dead_fraction", "alive",
    "learning_rate", "batch_size", "total_steps", "steps_done", "tokens", "seed", "wall_s",
    "config_hash", "dir", "used", "why_not", "counts", "verdict_reasons",
)  # fmt: skip
# What else a refit goes by, so that the table read again gives the same fits.
_OF_FITS = (ALPHA_UNITS, "objective", "alpha_mode", "target_l0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell of a table in the page."""

    text: str
    """What is shown."""
    order: float | str
    """What sorting goes by."""
    numeric: bool
    """Whether it is right-aligned."""
    kind: str = ""
    """A CSS class, for states and verdicts."""
    note: str = ""
    """Shown on hover."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a table in the page."""

    cells: tuple[Cell, ...]
    """Under the headers."""
    landed: bool = False
    """Whether it is a run in band."""
    unused: bool = False
    """Whether no fit uses it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageTable:
    """A table in the page."""

    headers: tuple[str, ...]
    """Column names."""
    rows: tuple[Row, ...]
    """Shown rows."""
    hidden: int = 0
    """Rows left out of the page; the CSV has them."""


def trials_table(data: ReportData) -> pd.DataFrame:
    """T1: every trial as the target judges it, with what divides the runs and alpha's units.

    `l0_log_error` and `in_band` are this report's.
    """
    divided_by = [name for fit in data.fits for name, _ in fit.recipe.searched]
    wanted = (*_TRIAL_COLUMNS, *_OF_FITS, *dividers(data.trials, divided_by))
    columns = [column for column in dict.fromkeys(wanted) if column in data.trials]
    known = [column for column in columns if data.trials[column].notna().any()]
    return data.trials[known].rename(columns={"log_error": "l0_log_error", "landed": "in_band"})


def widths_table(fit: Refit) -> pd.DataFrame:
    """T2: one row a width, with alpha as far as it may be named."""
    return pd.DataFrame([_width_row(width) for width in fit.widths])


def _width_row(width: WidthResult) -> dict[str, object]:
    star, following, slope = width.alpha_star, width.next_run, width.elasticity
    return {
        "latent_dim": width.latent_dim,
        "target_count": width.target_count,
        "runs": width.n,
        "alphas": len(set(width.alphas)),
        "bracketed": width.bracketed,
        "l0_low": min(width.l0, default=None),
        "l0_high": max(width.l0, default=None),
        "alpha": width.point,
        "alpha_low": None if star is None else star.low,
        "alpha_high": None if star is None else star.high,
        "next_run_low": None if following is None else following.low,
        "next_run_high": None if following is None else following.high,
        "elasticity": None if slope is None else slope.value,
        "reason": width.reason,
    }


Record = Mapping[str, Any]
Maker = Callable[[Record], Cell]


def trials_page(data: ReportData, limit: int) -> PageTable:
    """The trials as rows of the page: those nearest to their target first.

    Args:
        data: The report's data.
        limit: At most this many rows; the CSV has all.
    """
    frame = data.trials
    order = frame["log_error"].abs().sort_values(kind="stable", na_position="last").index
    makers: Sequence[tuple[str, str, Maker]] = (
        ("trial", "label", _label_cell),
        ("width", "latent_dim", _maker("latent_dim", show.count)),
        ("alpha", "alpha_canonical", _maker("alpha_canonical", show.number)),
        ("L0", "l0", _maker("l0", show.number)),
        ("off target", "log_error", _maker("log_error", show.signed_percent)),
        ("fvu", "fvu", _maker("fvu", show.number)),
        ("dead", "dead_fraction", _maker("dead_fraction", lambda value: show.percent(value, 2))),
        ("steps", "total_steps", _maker("total_steps", show.count)),
        ("seed", "seed", _maker("seed", show.count)),
        ("counts", "counts", _maker("counts", show.number)),
        ("converged", "converged", _flag_cell),
        ("time", "wall_s", _maker("wall_s", show.duration)),
        ("state", "state", _word_cell("state", "why_not")),
        ("verdict", "verdict", _word_cell("verdict", "verdict_reasons")),
        ("guide's", "guide_verdict", _word_cell("guide_verdict", "")),
    )
    columns = {column for _, column, _ in makers} | {"label", "landed", "used", "why_not"}
    records = records_of(frame.loc[order[:limit], sorted(columns | {"verdict_reasons"})])
    all_count = not (frame["counts"] < 1).any()
    shown = [
        maker
        for maker in makers
        if frame[maker[1]].notna().any() and not (maker[1] == "counts" and all_count)
    ]
    rows = tuple(
        Row(
            cells=tuple(make(record) for _, _, make in shown),
            landed=record["landed"],
            unused=not record["used"],
        )
        for record in records
    )
    hidden = max(len(frame) - limit, 0)
    return PageTable(headers=tuple(name for name, _, _ in shown), rows=rows, hidden=hidden)


def _maker(column: str, text: Callable[[float | None], str]) -> Maker:
    def make(row: Record) -> Cell:
        value = row[column]
        order = float("-inf") if value is None else value
        return Cell(text=text(value), order=order, numeric=True)

    return make


def _label_cell(row: Record) -> Cell:
    label = str(row["label"])
    return Cell(text=label.split()[-1], order=float(label.split()[-1]), numeric=True)


def _flag_cell(row: Record) -> Cell:
    value = row["converged"]
    text = show.MISSING if value is None else ("yes" if value else "no")
    return Cell(text=text, order=text, numeric=False, kind="warning" if text == "no" else "")


def _word_cell(column: str, note: str) -> Maker:
    def make(row: Record) -> Cell:
        text = row[column] or show.MISSING
        hint = (row[note] or "") if note else ""
        return Cell(text=text, order=text, numeric=False, kind=text, note=hint)

    return make


def widths_page(data: ReportData, fit: Refit) -> PageTable:
    """T2 for the page."""
    headers = (
        "width", "target L0", "alpha", "95 % interval", "next run", "elasticity", "runs",
        "in band", "best in band", "note",
    )  # fmt: skip
    rows = tuple(_width_page_row(data, width) for width in fit.widths)
    return PageTable(headers=headers, rows=rows)


def _width_page_row(data: ReportData, width: WidthResult) -> Row:
    star, following, slope = width.alpha_star, width.next_run, width.elasticity
    landed = data.landed(width)
    best = show.MISSING
    if len(landed):
        first = records_of(landed.iloc[:1])[0]
        best = f"{first['label']}, fvu {show.number(first['fvu'])}"
    cells = (
        _number(width.latent_dim, show.count),
        _number(width.target_count, show.target_number),
        _number(width.point, show.number),
        _words(show.MISSING if star is None else show.interval(star.low, star.high)),
        _words(
            show.MISSING if following is None else show.interval(following.low, following.high)
        ),
        _number(None if slope is None else slope.value, show.number),
        _number(width.n, show.count),
        _number(len(landed), show.count),
        _words(best),
        _note("; ".join(text for text in (width.reason or "", *width.notes) if text) or "-"),
    )
    return Row(cells=cells, landed=bool(len(landed)))


def frame_page(frame: pd.DataFrame) -> PageTable:
    """Any table for the page: numbers to three digits, missing values as a dash."""
    numeric = {
        name: pd.api.types.is_numeric_dtype(frame[name])
        and not pd.api.types.is_bool_dtype(frame[name])
        for name in frame.columns
    }
    rows = tuple(
        Row(cells=tuple(_any(value, numeric[name]) for name, value in record.items()))
        for record in records_of(frame)
    )
    return PageTable(headers=tuple(str(name) for name in frame.columns), rows=rows)


def _any(value: Any, numeric: bool) -> Cell:
    if numeric:
        whole = value is not None and float(value).is_integer() and abs(value) < 1e9
        return _number(value, (lambda each: f"{each:.0f}") if whole else show.number)
    if isinstance(value, bool):
        return _words("yes" if value else "no")
    text = show.MISSING if value is None else str(value)
    return _note(text) if len(text) > 60 else _words(text)


def _number(value: float | None, text: Callable[[float | None], str]) -> Cell:
    order = float("-inf") if value is None else float(value)
    return Cell(text=text(value), order=order, numeric=True)


def _note(text: str) -> Cell:
    return Cell(text=text, order=text, numeric=False, kind="note")


def _words(text: str) -> Cell:
    return Cell(text=text, order=text, numeric=False)
