"""P2: what the global forms leave over, against alpha."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from analysis.curves import CurveFit
from analysis.report.axes import log_axis, log_limits
from analysis.report.data import MOST_POINTS, ReportData, latent_dims, point_titles, thin
from analysis.report.svg import INK, Absent, Drawing, canvas, series
from analysis.results import Refit, WidthResult

_TITLE = "Residuals of the global forms"


def draw_residuals(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws ln(observed / fitted) of each width's best form with degrees of freedom."""
    widths = [width for width in fit.widths if _form(width) is not None]
    if not widths:
        reason = "no width has more alphas than its forms have parameters"
        return Absent(name=name, title=_TITLE, reason=reason)
    with canvas(height=4.0) as drawn:
        alphas: list[float] = []
        for width in widths:
            form = _form(width)
            rows = data.rows(width)
            rows = thin(rows[rows["alpha_canonical"] > 0], MOST_POINTS // len(widths))
            if form is None or rows.empty:
                continue
            x = rows["alpha_canonical"].to_numpy(dtype=np.float64)
            residuals = 100 * np.log(rows["l0"].to_numpy(dtype=np.float64) / form.predict(x))
            color, marker = series(width.latent_dim, latent_dims(fit))
            drawn.scatter(
                x.tolist(), residuals.tolist(), point_titles(rows), color=color, marker=marker
            )
            drawn.axes.plot(
                [],
                [],
                marker,
                color=color,
                label=f"{width.latent_dim}, {form.form.replace('_', ' with ')}",
                markersize=6,
            )
            alphas += x.tolist()
        drawn.axes.axhline(0, color=INK, linewidth=1)
        log_axis(drawn.axes.xaxis, *log_limits(alphas))
        drawn.axes.set_xlabel("alpha")
        drawn.axes.set_ylabel("ln(observed / fitted), %")
        drawn.axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=3))
        drawn.axes.yaxis.set_major_formatter("{x:g}")
        drawn.legend_above("width, form", columns=2)
        caption = (
            "Distance of each run's L0 from its width's form. A bend that runs share means that "
            "the form is wrong; alpha does not rest on it, but on the local fit."
        )
        return drawn.finish(name, _TITLE, caption)


def _form(width: WidthResult) -> CurveFit | None:
    return next((each.fit for each in width.forms if each.fit.dof > 0), None)
