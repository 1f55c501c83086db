"""Writes a report's folder: the page, its tables as CSV and its figures as SVG."""

import re
from collections.abc import Container, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError
from analysis.files import write_atomically
from analysis.report.check_tables import CheckTable, check_tables
from analysis.report.data import prepare
from analysis.report.figures import FIGURE_NAMES, draw_answers, draw_checks
from analysis.report.page import Content, render
from analysis.report.svg import FORMATS, Drawing
from analysis.report.tables import trials_table, widths_table
from analysis.results import Refit
from analysis.targets import DEFAULT_TOLERANCE

# The first group's figures, and from group 2 on those with the group's number.
_FIGURE_FILES = rf"({'|'.join(FIGURE_NAMES)})(-([2-9]|[1-9]\d+))?\.({'|'.join(FORMATS)})"


def write_report(  # noqa: PLR0913 - all but three are named at the call
    trials: pd.DataFrame,
    refit: Refit,
    destination: Path,
    *,
    title: str,
    command: str | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    study: Path | None = None,
    formats: Sequence[str] = ("svg",),
    refresh_s: float | None = None,
) -> Path:
    """Writes `index.html`, which needs no other file, with `tables/` and `figures/` beside it.

    The same trials, refit and texts give the same bytes.

    Args:
        trials: The table that the refit was made from.
        refit: Its result; other groups of runs are its `others`.
        destination: The report's folder; made if absent. The files of an earlier report are
            replaced one by one, those that this one lacks are removed; others are left alone.
        title: Heading, for example the study's name.
        command: The command that makes this report again.
        tolerance: In band: |ln(l0 / target)| <= ln(1 + tolerance).
        study: The study's folder, for the histories of its runs.
        formats: What figures are written as: `svg`, `pdf`, `png`.
        refresh_s: While a study runs: an open page loads itself again every so many seconds.

    Returns:
        The path of `index.html`.

    Raises:
        AnalysisError: There is no such format.
        OSError: The folder cannot be written.
    """
    for kind in formats:
        if kind not in FORMATS:
            listed = ", ".join(FORMATS)
            raise AnalysisError(f"figures must be among {listed}, but got {kind!r}.")
    data = prepare(trials, refit, tolerance, study)
    content = Content(
        data=data, answers=draw_answers(data), checks=draw_checks(data), tables=check_tables(data)
    )
    for folder in ("figures", "tables"):
        (destination / folder).mkdir(parents=True, exist_ok=True)
    _write_figures(destination / "figures", content, formats)
    _write_tables(destination / "tables", content)
    page = destination / "index.html"
    html = render(content, title=title, command=command, refresh_s=refresh_s)
    write_atomically(page, html.encode())
    return page


def _write_figures(folder: Path, content: Content, formats: Sequence[str]) -> None:
    written: set[str] = set()
    for figure in (*chain.from_iterable(content.answers), *content.checks):
        if isinstance(figure, Drawing):
            for kind in formats:
                write_atomically(folder / f"{figure.name}.{kind}", figure.export(kind))
                written.add(f"{figure.name}.{kind}")
    _remove_earlier(folder, _FIGURE_FILES, written)


def _write_tables(folder: Path, content: Content) -> None:
    data = content.data
    widths = [
        widths_table(fit).assign(recipe=fit.recipe.describe(), status=fit.status.value)
        for fit in data.fits
    ]
    tables = {"trials": trials_table(data), "widths": pd.concat(widths)}
    tables |= {each.name: each.frame for each in content.tables if isinstance(each, CheckTable)}
    for name, table in tables.items():
        text = table.to_csv(index=False, lineterminator="\n")
        write_atomically(folder / f"{name}.csv", text.encode())
    names = "|".join(each.name for each in content.tables)
    _remove_earlier(folder, rf"({names})\.csv", {f"{name}.csv" for name in tables})


def _remove_earlier(folder: Path, names: str, written: Container[str]) -> None:
    """Removes files of an earlier report, by the pattern `names`, that this one did not write."""
    for path in sorted(folder.iterdir()):
        if re.fullmatch(names, path.name) and path.name not in written:
            path.unlink(missing_ok=True)  # another command may write the same report
