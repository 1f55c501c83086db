"""Writes a report's folder: the page, its tables as CSV and its figures as SVG."""

from pathlib import Path

import pandas as pd

from analysis.files import write_atomically
from analysis.report.data import DEFAULT_TOLERANCE, prepare
from analysis.report.figures import draw_all
from analysis.report.page import render
from analysis.report.svg import Drawing
from analysis.report.tables import trials_table, widths_table
from analysis.results import Refit


def write_report(
    trials: pd.DataFrame,
    refit: Refit,
    destination: Path,
    *,
    title: str,
    command: str | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
) -> Path:
    """Writes `index.html`, which needs no other file, with `tables/` and `figures/` beside it.

    The same trials, refit and texts give the same bytes.

    Args:
        trials: The table that the refit was made from.
        refit: Its result; other groups of runs are its `others`.
        destination: The report's folder; made if absent, its files are replaced one by one.
        title: Heading, for example the study's name.
        command: The command that makes this report again.
        tolerance: In band: |ln(l0 / target)| <= ln(1 + tolerance).

    Returns:
        The path of `index.html`.

    Raises:
        OSError: The folder cannot be written.
    """
    data = prepare(trials, refit, tolerance)
    figures = draw_all(data)
    for folder in ("figures", "tables"):
        (destination / folder).mkdir(parents=True, exist_ok=True)
    for drawing in figures:
        if isinstance(drawing, Drawing):
            write_atomically(destination / "figures" / f"{drawing.name}.svg", drawing.file())
    widths = pd.concat(
        [
            widths_table(fit).assign(recipe=fit.recipe.describe(), status=fit.status.value)
            for fit in data.fits
        ]
    )
    for name, table in (("trials", trials_table(data)), ("widths", widths)):
        content = table.to_csv(index=False, lineterminator="\n").encode()
        write_atomically(destination / "tables" / f"{name}.csv", content)
    page = destination / "index.html"
    write_atomically(page, render(data, figures, title=title, command=command).encode())
    return page
