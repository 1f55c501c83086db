"""L0 against alpha, width by width, with the fits and the target band."""

import math

import numpy as np

from analysis import formatting as show
from analysis.report.axes import log_axis, log_limits
from analysis.report.data import ReportData, point_titles
from analysis.report.svg import BAND, MUTED, TARGET, Absent, Canvas, Drawing, canvas, series
from analysis.results import Refit, WidthResult

_TITLE = "L0 against alpha"


def draw_l0_alpha(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws every run, the local curve around the target, and the interval of alpha."""
    widths = [width for width in fit.widths if any(alpha > 0 for alpha in width.alphas)]
    if not widths:
        return Absent(name=name, title=_TITLE, reason="no usable run has an alpha above 0")
    with canvas() as drawn:
        _set_axes(drawn, data, widths)
        _draw_target(drawn, data)
        for index, width in enumerate(widths):
            color, marker = series(index, len(widths))
            _draw_width(drawn, data, width, color, marker)
            _draw_local_curve(drawn, data, fit, width, color)
        _draw_excluded(drawn, data, widths)
        drawn.axes.legend(loc="lower left", title="width", handletextpad=0.4)
        return drawn.finish(name, _TITLE, _caption(fit))


def _scale(data: ReportData, width: WidthResult) -> float:
    """Per latent in percent for a target that is a fraction, so that all widths share it."""
    return 100 / width.latent_dim if data.by_fraction else 1.0


def _set_axes(drawn: Canvas, data: ReportData, widths: list[WidthResult]) -> None:
    alphas = [alpha for width in widths for alpha in width.alphas if alpha > 0]
    l0 = [value * _scale(data, width) for width in widths for value in width.l0]
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
    drawn.axes.annotate(
        text,
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 5),
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=TARGET,
    )


def _draw_width(
    drawn: Canvas, data: ReportData, width: WidthResult, color: str, marker: str
) -> None:
    rows = data.rows(width)
    rows = rows[rows["alpha_canonical"] > 0]
    scale = _scale(data, width)
    drawn.scatter(
        rows["alpha_canonical"].tolist(),
        (rows["l0"] * scale).tolist(),
        point_titles(rows),
        color=color,
        marker=marker,
    )
    means = rows.groupby("alpha_canonical")["l0"].mean() * scale
    drawn.axes.plot(means.index, means, color=color, linewidth=0.8, alpha=0.4, zorder=2)
    drawn.axes.plot([], [], color=color, marker=marker, label=f"{width.latent_dim}", markersize=6)
    if width.alpha_star is not None:
        level = _target_level(data)
        ends = [width.alpha_star.low, width.alpha_star.high]
        drawn.axes.plot(ends, [level, level], color=color, linewidth=5, zorder=3, alpha=0.55)


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


def _draw_excluded(drawn: Canvas, data: ReportData, widths: list[WidthResult]) -> None:
    """Runs that no fit uses, hollow, as far as they have a place on the axes."""
    shown = {width.latent_dim: _scale(data, width) for width in widths}
    rows = data.trials[~data.trials["used"] & data.trials["latent_dim"].isin(list(shown))]
    rows = rows[(rows["alpha_canonical"] > 0) & (rows["l0"] > 0)]
    if rows.empty:
        return
    scales = rows["latent_dim"].map(shown).astype("float64")
    drawn.scatter(
        rows["alpha_canonical"].tolist(),
        (rows["l0"] * scales).tolist(),
        point_titles(rows),
        color=MUTED,
        hollow=True,
    )
    drawn.axes.plot([], [], "o", color=MUTED, markerfacecolor="none", label="not used")


def _caption(fit: Refit) -> str:
    named = [width for width in fit.widths if width.alpha_star is not None]
    text = (
        "Each point is a run. The green band is the target with its tolerance; thick bars on it "
        "are the 95 % intervals of alpha, lines the local fit between the runs next to the target."
    )
    if not named:
        return f"{text} No width allows an interval yet."
    listed = ", ".join(
        f"{show.number(width.point)} at width {width.latent_dim}" for width in named
    )
    return f"{text} Alpha: {listed}."
