"""P9: what was predicted before each run, against what came."""

import math

import numpy as np

from analysis.report.axes import log_axis, log_limits
from analysis.report.data import MOST_POINTS, ReportData, latent_dims, point_titles, thin
from analysis.report.svg import INK, Absent, Drawing, canvas, series
from analysis.results import Refit

_TITLE = "Predictions made before the runs"
_Z_80 = 1.2815515655446004  # 90 % quantile of the standard normal: a central 80 % interval


def draw_calibration(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws predicted against observed L0 of every finished run that had a prediction."""
    known = ["predicted_l0", "predicted_l0_sd", "l0"]
    rows = data.trials[data.trials["used"]].dropna(subset=known)
    rows = rows[(rows["predicted_l0"] > 0) & (rows["predicted_l0_sd"] > 0)]
    if rows.empty:
        return Absent(name=name, title=_TITLE, reason="no run has a prediction from before it")
    ratio = (rows["l0"] / rows["predicted_l0"]).to_numpy(dtype=np.float64)
    error = np.abs(np.log(ratio))
    inside = int((error <= _Z_80 * rows["predicted_l0_sd"].to_numpy(dtype=np.float64)).sum())
    shown = thin(rows, MOST_POINTS)
    others = {int(width) for width in rows["latent_dim"].unique()}
    widths = [*latent_dims(fit), *sorted(others - {*latent_dims(fit)})]
    with canvas(height=4.8) as drawn:
        for width in widths:
            part = shown[shown["latent_dim"] == width]
            color, marker = series(width, widths)
            predicted = part["predicted_l0"].to_numpy(dtype=np.float64)
            factor = np.exp(_Z_80 * part["predicted_l0_sd"].to_numpy(dtype=np.float64))
            observed = part["l0"].tolist()
            drawn.axes.vlines(
                observed,
                predicted / factor,
                predicted * factor,
                color=color,
                linewidth=1,
                alpha=0.6,
            )
            drawn.scatter(
                observed, predicted.tolist(), point_titles(part), color=color, marker=marker
            )
            drawn.axes.plot([], [], marker, color=color, label=f"{width}", markersize=6)
        low, high = log_limits([*rows["l0"], *rows["predicted_l0"]])
        drawn.axes.plot([low, high], [low, high], color=INK, linewidth=1)
        log_axis(drawn.axes.xaxis, low, high)
        log_axis(drawn.axes.yaxis, low, high)
        drawn.axes.set_xlabel("observed L0")
        drawn.axes.set_ylabel("predicted L0")
        drawn.legend_above("width")
        off = math.exp(float(np.median(error)))
        caption = (
            f"Bars are 80 % intervals of the prediction; {inside} of {len(rows)} hold what came "
            f"({100 * inside / len(rows):.0f} %, wanted 80 %). Median miss: a factor of {off:.2f}."
        )
        return drawn.finish(name, _TITLE, caption)
