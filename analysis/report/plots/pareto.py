"""P8: reconstruction against sparsity, with the front of each architecture."""

import pandas as pd

from analysis.report.axes import log_axis, log_limits
from analysis.report.data import MOST_POINTS, ReportData, point_titles, thin
from analysis.report.svg import SERIES, TARGET, Absent, Canvas, Drawing, canvas
from analysis.results import Refit

_TITLE = "Reconstruction against sparsity"
# Dead latents in three classes: a colour for each is read at a glance, a scale is not.
_CLASSES = ((0.0, 0.1, SERIES[2]), (0.1, 0.5, SERIES[4]), (0.5, 1.01, SERIES[6]))


def pareto_front(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs that no other run beats in both fvu and L0, by rising L0."""
    ordered = rows.sort_values(["l0", "fvu"], kind="stable")
    best = ordered["fvu"].cummin().shift(fill_value=float("inf"))
    return ordered[ordered["fvu"] < best]


def draw_pareto(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws fvu against L0 over all groups of runs."""
    del fit
    rows = data.trials[data.trials["used"]].dropna(subset=["fvu", "l0"])
    rows = rows[(rows["l0"] > 0) & (rows["fvu"] > 0)]
    if rows.empty:
        return Absent(name=name, title=_TITLE, reason="fvu is not recorded")
    with canvas() as drawn:
        log_axis(drawn.axes.xaxis, *log_limits(rows["l0"].tolist()))
        log_axis(drawn.axes.yaxis, *log_limits(rows["fvu"].tolist()))
        _draw_fronts(drawn, rows)
        _draw_points(drawn, rows)
        if not data.by_fraction:
            drawn.axes.axvline(data.fit.target_l0, color=TARGET, linewidth=1)
        drawn.axes.set_xlabel("L0, latents per token")
        drawn.axes.set_ylabel("fvu")
        drawn.axes.legend(loc="lower left")
        caption = (
            "Lower left is better. Lines join the runs that no run of the same architecture "
            "beats in both; runs of other recipes are in it, so compare like with like."
        )
        return drawn.finish(name, _TITLE, caption)


def _draw_fronts(drawn: Canvas, rows: pd.DataFrame) -> None:
    names = rows["architecture"].fillna("unknown architecture")
    for index, (architecture, part) in enumerate(rows.groupby(names)):
        front = pareto_front(part)
        drawn.axes.plot(
            front["l0"],
            front["fvu"],
            color=SERIES[(3 * index) % len(SERIES)],
            linewidth=1.2,
            label=f"front, {architecture}",
        )


def _draw_points(drawn: Canvas, rows: pd.DataFrame) -> None:
    dead = rows["dead_fraction"]
    for low, high, color in _CLASSES:
        part = rows[(dead >= low) & (dead < high)]
        if len(part):
            part = thin(part, MOST_POINTS * len(part) // len(rows) + 1)
            drawn.scatter(
                part["l0"].tolist(), part["fvu"].tolist(), point_titles(part), color=color
            )
            label = f"{100 * low:g} to {min(100 * high, 100):g} % dead"
            drawn.axes.plot([], [], "o", color=color, label=label, markersize=6)
    unknown = thin(rows[dead.isna()], MOST_POINTS)
    if len(unknown):
        drawn.scatter(
            unknown["l0"].tolist(),
            unknown["fvu"].tolist(),
            point_titles(unknown),
            color=SERIES[0],
            hollow=True,
        )
        drawn.axes.plot([], [], "o", color=SERIES[0], markerfacecolor="none", label="dead unknown")
