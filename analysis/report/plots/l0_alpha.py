"""L0 against alpha, width by width, with the fits and the target band."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.arrays import FloatArray
from analysis.report.axes import log_axis, log_limits
from analysis.report.data import MOST_POINTS, ReportData, latent_dims, point_titles, thin
from analysis.report.svg import BAND, MUTED, TARGET, Absent, Canvas, Drawing, canvas, series
from analysis.results import Refit, WidthResult
from analysis.selection import COMPUTABLE_ALPHA

_TITLE = "L0 against alpha"
# Candidate forms of all widths together; more would be a thicket.
_MOST_FORMS = 40


def draw_l0_alpha(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws every run, the local curve around the target, and the interval of alpha."""
    widths = [width for width in fit.widths if any(alpha > 0 for alpha in width.alphas)]
    if not widths:
        return Absent(name=name, title=_TITLE, reason="no usable run has an alpha above 0")
    with canvas(height=5.1) as drawn:
        _set_axes(drawn, data, fit, widths)
        for width in widths:
            color, marker = series(width.latent_dim, latent_dims(fit))
            most = MOST_POINTS // len(widths)
            _draw_width(drawn, data, width, color, marker, most)
            _draw_local_curve(drawn, data, fit, width, color)
        _draw_excluded(drawn, data, fit, widths)
        _draw_target(drawn, data)
        drawn.legend_above("width")
        return drawn.finish(name, _TITLE, _caption(fit))


def _scale(data: ReportData, width: WidthResult) -> float:
    """Per latent in percent for a target that is a fraction, so that all widths share it."""
    return 100 / width.latent_dim if data.by_fraction else 1.0


def _set_axes(drawn: Canvas, data: ReportData, fit: Refit, widths: list[WidthResult]) -> None:
    shown = {width.latent_dim: _scale(data, width) for width in widths}
    outside = _drawable(data.excluded(fit), shown)
    alphas = [alpha for width in widths for alpha in width.alphas if alpha > 0]
    alphas += outside["alpha_canonical"].tolist()
    l0 = [value * _scale(data, width) for width in widths for value in width.l0]
    l0 += (outside["l0"] * _scales(outside, shown)).tolist()
    wanted = _target_level(data)
    log_axis(drawn.axes.xaxis, *log_limits(alphas))
    log_axis(drawn.axes.yaxis, *log_limits([*l0, wanted]))
    units = "" if data.fit.units == "canonical" else " (own units)"
    drawn.axes.set_xlabel(f"alpha{units}")
    drawn.axes.set_ylabel("L0, % of latents" if data.by_fraction else "L0, latents per token")


def _target_level(data: ReportData) -> float:
    return data.fit.target_l0 * (100 if data.by_fraction else 1)


def _draw_target(drawn: Canvas, data: ReportData) -> None:
    level, edge = _target_level(data), 1 + data.tolerance
    drawn.axes.axhspan(level / edge, level * edge, color=BAND, zorder=1, linewidth=0)
    drawn.axes.axhline(level, color=TARGET, linewidth=1.1, zorder=2)
    unit = " %" if data.by_fraction else ""
    text = f"target {level:g}{unit} ±{100 * data.tolerance:g} %"
    drawn.axes.plot([], [], color=TARGET, label=text)


def _draw_width(
    drawn: Canvas, data: ReportData, width: WidthResult, color: str, marker: str, most: int
) -> None:
    rows = data.rows(width)
    rows = rows[rows["alpha_canonical"] > 0]
    scale = _scale(data, width)
    _draw_forms(drawn, width, scale, color, most=_MOST_FORMS // len(data.fit.widths))
    rows = thin(rows, most)
    drawn.scatter(
        rows["alpha_canonical"].tolist(),
        (rows["l0"] * scale).tolist(),
        point_titles(rows),
        color=color,
        marker=marker,
    )
    drawn.axes.plot([], [], color=color, marker=marker, label=f"{width.latent_dim}", markersize=6)
    if width.alpha_star is not None:
        level = _target_level(data)
        ends = [width.alpha_star.low, width.alpha_star.high]
        drawn.axes.plot(ends, [level, level], color=color, linewidth=5, zorder=3, alpha=0.55)


def _draw_forms(drawn: Canvas, width: WidthResult, scale: float, color: str, most: int) -> None:
    """Every global form, strong the one that leave-one-out chooses; without one straight lines."""
    points = sorted((a, l0) for a, l0 in zip(width.alphas, width.l0, strict=True) if a > 0)
    if not points:
        return
    if width.form_choice is None:
        alphas, values = zip(*points, strict=True)
        _dashed(drawn, alphas, np.array(values) * scale, color, is_strong=True)
    grid = np.geomspace(points[0][0], points[-1][0], 60)
    shown = [form.fit for form in width.forms if not form.fit.without_floor][:most]
    for fit in shown:
        values = fit.predict(grid) * scale
        _dashed(drawn, grid, values, color, is_strong=fit.form == width.form_choice)


def _dashed(
    drawn: Canvas, x: Sequence[float] | FloatArray, y: FloatArray, color: str, *, is_strong: bool
) -> None:
    linewidth, alpha = (1.1, 0.75) if is_strong else (0.7, 0.28)
    drawn.axes.plot(x, y, "--", color=color, linewidth=linewidth, alpha=alpha, zorder=2)


def _draw_local_curve(
    drawn: Canvas, data: ReportData, fit: Refit, width: WidthResult, color: str
) -> None:
    """The local fit, between the runs next to the target and a little beyond."""
    local = fit.local
    if local is None or width.point is None or width.latent_dim not in local.latent_dims:
        return
    index = local.latent_dims.index(width.latent_dim)
    slope = float(local.weights @ local.slopes[:, index])
    curvature = float(local.weights @ local.curvatures[:, index])
    centre = local.log_alpha(index).value
    logs = sorted({math.log(alpha) for alpha in width.alphas if alpha > 0})
    low = max((x for x in logs if x < centre), default=centre) - 0.25
    high = min((x for x in logs if x > centre), default=centre) + 0.25
    t = np.linspace(low - centre, high - centre, 60)
    level = _target_level(data)
    drawn.axes.plot(
        np.exp(centre + t),
        level * np.exp(slope * t + curvature * t**2 / 2),
        color=color,
        zorder=3,
    )


def _drawable(rows: pd.DataFrame, shown: Mapping[int, float]) -> pd.DataFrame:
    """Runs that have a place on the axes, and leave room there for the others."""
    rows = rows[rows["latent_dim"].isin(list(shown))]
    has_l0 = (rows["l0"] > 0) & np.isfinite(rows["l0"])
    return rows[has_l0 & rows["alpha_canonical"].between(*COMPUTABLE_ALPHA)]


def _scales(rows: pd.DataFrame, shown: Mapping[int, float]) -> "pd.Series[float]":
    return rows["latent_dim"].map(shown).astype("float64")


def _draw_excluded(drawn: Canvas, data: ReportData, fit: Refit, widths: list[WidthResult]) -> None:
    """Runs that no fit uses, hollow, as far as they have a place on the axes."""
    shown = {width.latent_dim: _scale(data, width) for width in widths}
    rows = thin(_drawable(data.excluded(fit), shown), MOST_POINTS // 4)
    if rows.empty:
        return
    drawn.scatter(
        rows["alpha_canonical"].tolist(),
        (rows["l0"] * _scales(rows, shown)).tolist(),
        point_titles(rows),
        color=MUTED,
        hollow=True,
    )
    drawn.axes.plot([], [], "o", color=MUTED, markerfacecolor="none", label="not used")


def _forms(fit: Refit) -> str:
    """The chosen forms and at how many widths each."""
    chosen = Counter(
        width.form_choice.replace("_", " with ") for width in fit.widths if width.form_choice
    )
    return ", ".join(f"{form} at {n} of {len(fit.widths)} widths" for form, n in chosen.items())


def _caption(fit: Refit) -> str:
    forms = _forms(fit)
    text = (
        "Each point is a run. The green band is the target with its tolerance; thick bars on it "
        "are the 95 % intervals of alpha, lines the local fit between the runs next to the "
        "target. Dashed: the global forms, strong the one that predicts left-out runs best"
    )
    return f"{text} ({forms})." if forms else f"{text}."
