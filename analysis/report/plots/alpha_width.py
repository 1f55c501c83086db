"""Alpha for the target against width, with the fitted exponent and the guide's beside it."""

import math
from collections.abc import Sequence

import numpy as np

from analysis import formatting as show
from analysis.exponent import GUIDE_EXPONENT
from analysis.gate import Side
from analysis.mixture import Z_95
from analysis.report.axes import log_axis, log_limits
from analysis.report.data import ReportData, latent_dims
from analysis.report.svg import GRID, GUIDE, INK, MUTED, Absent, Canvas, Drawing, canvas, series
from analysis.results import Refit, WidthResult

_TITLE = "Alpha against width"


def draw_alpha_width(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws alpha with its interval at every width, and what the exponents would give."""
    named = [width for width in fit.widths if width.point is not None]
    if not named:
        return Absent(name=name, title=_TITLE, reason="no width brackets the target")
    with canvas() as drawn:
        _set_axes(drawn, fit, named)
        _draw_slopes(drawn, fit, named)
        _draw_fit(drawn, fit, [width.latent_dim for width in fit.widths])
        for width in fit.widths:
            color, marker = series(width.latent_dim, latent_dims(fit))
            _draw_width(drawn, width, color, marker)
        units = "" if data.fit.units == "canonical" else " (own units)"
        drawn.axes.set_xlabel("width, latents")
        drawn.axes.set_ylabel(f"alpha for {show.target(fit.target_l0)}{units}")
        drawn.axes.legend(loc="best")
        return drawn.finish(name, _TITLE, _caption(fit, named))


def _set_axes(drawn: Canvas, fit: Refit, named: Sequence[WidthResult]) -> None:
    widths = [width.latent_dim for width in fit.widths]
    values = [width.point for width in named if width.point is not None]
    for width in fit.widths:
        if width.alpha_star is not None:
            values += [width.alpha_star.low, width.alpha_star.high]
        elif width.side is not None:
            values.append(_edge(width))
    low, high = log_limits(values, margin=0.35)
    spread = log_limits([float(width) for width in widths], margin=0.12)
    log_axis(drawn.axes.xaxis, *spread, ticks=_apart(widths))
    log_axis(drawn.axes.yaxis, low, high)


def _apart(widths: Sequence[int]) -> list[float]:
    """The widths whose labels do not run into each other."""
    gap = math.log(widths[-1] / widths[0]) / 8
    kept = [float(widths[0])]
    for width in widths[1:]:
        if math.log(width / kept[-1]) >= gap:
            kept.append(float(width))
    return kept


def _edge(width: WidthResult) -> float:
    """The run nearest to where alpha must lie, for a width that does not bracket the target."""
    positive = [alpha for alpha in width.alphas if alpha > 0]
    return max(positive) if width.side is Side.above else min(positive)


def _draw_width(drawn: Canvas, width: WidthResult, color: str, marker: str) -> None:
    if width.point is None:
        if width.side is not None:
            _draw_arrow(drawn, width, color)
        return
    star = width.alpha_star
    if star is not None:
        drawn.axes.plot(
            [width.latent_dim] * 2, [star.low, star.high], color=color, linewidth=2.2, zorder=3
        )
    spread = "" if star is None else f" ({show.interval(star.low, star.high)})"
    title = f"width {width.latent_dim}: alpha {show.number(width.point)}{spread}"
    drawn.scatter(
        [width.latent_dim], [width.point], [title], color=color, marker=marker, hollow=star is None
    )


def _draw_arrow(drawn: Canvas, width: WidthResult, color: str) -> None:
    """One-sided: alpha lies beyond this run."""
    up = width.side is Side.above
    drawn.axes.annotate(
        "",
        xy=(width.latent_dim, _edge(width)),
        xytext=(0, 26 if up else -26),
        textcoords="offset points",
        arrowprops={"arrowstyle": "<|-", "color": color, "linewidth": 1.6},
    )


def _draw_fit(drawn: Canvas, fit: Refit, widths: Sequence[int]) -> None:
    if fit.exponent is None:
        return
    x = np.geomspace(min(widths), max(widths), 60)
    means, sds = zip(*(fit.exponent.predict(float(width)) for width in x), strict=True)
    mean, sd = np.array(means), np.array(sds)
    drawn.axes.fill_between(
        x, np.exp(mean - Z_95 * sd), np.exp(mean + Z_95 * sd), color=GRID, zorder=1, linewidth=0
    )
    beta = fit.exponent.beta
    drawn.axes.plot(x, np.exp(mean), color=INK, zorder=2, label=f"fit, {show.number(beta.value)}")


def _draw_slopes(drawn: Canvas, fit: Refit, named: Sequence[WidthResult]) -> None:
    """Straight lines of given exponents through the middle of the data, cut at the axes."""
    logs = [(math.log(width.latent_dim), math.log(width.point or 1)) for width in named]
    x_0, y_0 = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    low, high = drawn.axes.get_xlim()
    x = np.geomspace(low, high, 200)
    for exponent, color, label, style in (
        (fit.theory_exponent, MUTED, f"theory, {show.number(fit.theory_exponent)}", "--"),
        (GUIDE_EXPONENT, GUIDE, f"the guide, {GUIDE_EXPONENT}", "-."),
    ):
        y = np.exp(y_0 + exponent * (np.log(x) - x_0))
        drawn.axes.plot(x, y, style, color=color, linewidth=1.4, zorder=2, label=label)


def _caption(fit: Refit, named: Sequence[WidthResult]) -> str:
    bars = "Bars are 95 % intervals" if any(width.alpha_star for width in named) else ""
    hollow = any(width.alpha_star is None for width in named)
    arrows = any(width.side is not None for width in fit.widths)
    parts = [
        bars,
        "hollow points have none" if hollow else "",
        "arrows mark widths where alpha lies beyond all runs" if arrows else "",
    ]
    listed = "; ".join(part for part in parts if part)
    if fit.exponent is None:
        return f"{listed}. No exponent is fitted: {fit.exponent_reason}."
    beta = fit.exponent.beta
    return (
        f"{listed}; the grey band is where a further width is expected. Fitted exponent "
        f"{show.number(beta.value)} ({show.interval(beta.low, beta.high)}), for this target and "
        "budget only."
    )
