"""P4: every width's curve on one, if they share a shape."""

from analysis.report.axes import log_axis, log_limits
from analysis.report.data import MOST_POINTS, ReportData, latent_dims, point_titles, thin
from analysis.report.svg import TARGET, Absent, Drawing, canvas, series
from analysis.results import Refit

_TITLE = "Do the widths share one curve?"


def draw_collapse(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws L0 / target against alpha / alpha for the target."""
    widths = [width for width in fit.widths if width.point is not None and width.target_count]
    if len(widths) < 2:
        return Absent(name=name, title=_TITLE, reason="fewer than two widths bracket the target")
    with canvas(height=4.4) as drawn:
        x_all: list[float] = []
        y_all: list[float] = []
        for width in widths:
            rows = data.rows(width)
            rows = thin(rows[rows["alpha_canonical"] > 0], MOST_POINTS // len(widths))
            x = (rows["alpha_canonical"] / (width.point or 1)).tolist()
            y = (rows["l0"] / (width.target_count or 1)).tolist()
            color, marker = series(width.latent_dim, latent_dims(fit))
            drawn.scatter(x, y, point_titles(rows), color=color, marker=marker)
            ordered = sorted(zip(x, y, strict=True))
            drawn.axes.plot(*zip(*ordered, strict=True), color=color, linewidth=0.8, alpha=0.5)
            drawn.axes.plot([], [], marker, color=color, label=f"{width.latent_dim}", markersize=6)
            x_all += x
            y_all += y
        drawn.axes.axhline(1, color=TARGET, linewidth=1)
        drawn.axes.axvline(1, color=TARGET, linewidth=1)
        log_axis(drawn.axes.xaxis, *log_limits([*x_all, 1.0]))
        log_axis(drawn.axes.yaxis, *log_limits([*y_all, 1.0]))
        drawn.axes.set_xlabel("alpha / alpha for the target")
        drawn.axes.set_ylabel("L0 / target")
        drawn.legend_above("width")
        slopes = [width.elasticity.value for width in widths if width.elasticity is not None]
        span = ""
        if slopes:
            span = f" Elasticities at the target: {min(slopes):.2f} to {max(slopes):.2f}."
        caption = (
            "All curves moved to cross in one point. Where they lie on each other one law in "
            "alpha over width holds for every target; where they fan out, each target has its own "
            f"exponent.{span}"
        )
        return drawn.finish(name, _TITLE, caption)
