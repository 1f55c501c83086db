"""P7: L0 over the steps of each run."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.console import records_of
from analysis.report.axes import log_axis, log_limits
from analysis.report.data import ReportData, latent_dims
from analysis.report.svg import TARGET, Absent, Drawing, canvas, series
from analysis.results import Refit

_TITLE = "L0 while training"
_MOST_RUNS = 24
_MOST_STEPS = 120


def draw_training(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws L0 / target over the steps, for the runs that ended nearest to their target."""
    runs = _histories(data, fit)
    if not runs:
        reason = "there is no study folder with the runs' histories"
        return Absent(name=name, title=_TITLE, reason=reason)
    shown = sorted({width for width, _, _ in runs})
    widths = latent_dims(fit)
    with canvas(height=4.4) as drawn:
        values: list[float] = [1.0]
        for width, steps, ratios in runs:
            color, _ = series(width, widths)
            drawn.axes.plot(steps, ratios, color=color, linewidth=1.1, alpha=0.8)
            # The first steps start near half of all latents and would flatten the rest.
            values += ratios[len(ratios) // 5 :]
        for width in shown:
            drawn.axes.plot([], [], color=series(width, widths)[0], label=f"{width}")
        drawn.axes.axhline(1, color=TARGET, linewidth=1)
        log_axis(drawn.axes.yaxis, *log_limits(values))
        drawn.axes.set_xlim(left=0)
        drawn.axes.set_xlabel("step")
        drawn.axes.set_ylabel("L0 / target")
        drawn.legend_above("width")
        caption = (
            f"The {len(runs)} runs that ended nearest to their target, on training batches. "
            "A run that is still falling at its end has not converged: a longer one gives another "
            "L0 at the same alpha."
        )
        return drawn.finish(name, _TITLE, caption)


def _histories(data: ReportData, fit: Refit) -> list[tuple[int, list[float], list[float]]]:
    """Width, steps and L0 / target of the runs nearest to the target that have a history."""
    if data.study is None:
        return []
    rows = data.group(fit).dropna(subset=["log_error", "dir"])
    rows = rows.sort_values(["log_error", "label"], key=_distance, kind="stable")
    found: list[tuple[int, list[float], list[float]]] = []
    for row in records_of(rows.iloc[:_MOST_RUNS]):
        history = _read(data.study, str(row["dir"]))
        if history:
            steps, l0 = zip(*history, strict=True)
            ratios = [value / row["wanted"] for value in l0]
            found.append((int(row["latent_dim"]), list(steps), ratios))
    return found


def _distance(column: "pd.Series[float]") -> "pd.Series[float]":
    return column.abs() if column.name == "log_error" else column


def _read(study: Path, directory: str) -> Sequence[tuple[float, float]]:
    """Step and L0 of a history's lines, thinned; nothing where there is no such file."""
    path = study / Path(directory).name / "history.csv"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        points = [(float(row["step"]), float(row["l0"])) for row in csv.DictReader(lines)]
    except (OSError, KeyError, TypeError, ValueError):
        return []
    points = [(step, l0) for step, l0 in points if l0 > 0]
    stride = max(1, len(points) // _MOST_STEPS)
    return points[::-stride][::-1]
