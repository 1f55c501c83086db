"""P6: alpha trial by trial, towards the target."""

from matplotlib.ticker import MaxNLocator

from analysis.report.axes import log_axis, log_limits
from analysis.report.data import MOST_POINTS, ReportData, latent_dims, point_titles, thin
from analysis.report.svg import Absent, Drawing, canvas, series
from analysis.results import Refit

_TITLE = "The search, trial by trial"


def draw_search_path(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws alpha over the number of the trial in its width; in band is filled."""
    widths = [
        width for width in fit.widths if data.rows(width)["trial"].notna().all() and width.n > 0
    ]
    if not widths:
        return Absent(name=name, title=_TITLE, reason="the trials have no numbers, so no order")
    with canvas() as drawn:
        alphas: list[float] = []
        longest = 1
        for width in widths:
            rows = data.rows(width).sort_values("trial", kind="stable")
            rows = rows[rows["alpha_canonical"] > 0]
            rows = rows.assign(order=range(1, len(rows) + 1))
            longest = max(longest, len(rows))
            rows = thin(rows, MOST_POINTS // len(widths))
            color, marker = series(width.latent_dim, latent_dims(fit))
            order, alpha = rows["order"].tolist(), rows["alpha_canonical"].tolist()
            drawn.axes.plot(order, alpha, color=color, linewidth=0.9, alpha=0.6)
            for landed in (True, False):
                part = rows[rows["landed"] == landed]
                drawn.scatter(
                    part["order"].tolist(),
                    part["alpha_canonical"].tolist(),
                    point_titles(part),
                    color=color,
                    marker=marker,
                    hollow=not landed,
                )
            drawn.axes.plot([], [], color=color, marker=marker, label=f"{width.latent_dim}")
            if width.point is not None:
                drawn.axes.axhline(width.point, color=color, linewidth=0.8, linestyle=":")
            alphas += alpha
        if not alphas:
            return Absent(name=name, title=_TITLE, reason="no usable run has an alpha above 0")
        log_axis(drawn.axes.yaxis, *log_limits(alphas))
        drawn.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawn.axes.set_xlim(0.6, longest + 0.4)
        drawn.axes.set_xlabel("trial of its width")
        drawn.axes.set_ylabel("alpha")
        drawn.legend_above("width")
        caption = (
            "Filled points landed in the band; dotted lines are alpha for the target as fitted "
            "from all runs of the width."
        )
        return drawn.finish(name, _TITLE, caption)
