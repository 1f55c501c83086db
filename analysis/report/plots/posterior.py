"""P10: how well alpha is known at each width, and what was believed before."""

import numpy as np
from scipy.stats import norm

from analysis import formatting as show
from analysis.report.axes import log_axis
from analysis.report.belief import prior_belief
from analysis.report.data import ReportData, latent_dims
from analysis.report.svg import Absent, Drawing, canvas, series
from analysis.results import Refit

_TITLE = "What is known about alpha"
_REACH = 4.0  # standard deviations drawn on either side


def draw_posterior(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws the density of ln alpha at every width, and dashed that before the first trial."""
    local = fit.local
    named = [width for width in fit.widths if width.alpha_star is not None]
    if local is None or not named:
        return Absent(name=name, title=_TITLE, reason="no width allows an interval of alpha")
    priors = {width.latent_dim: prior_belief(data, width) for width in named}
    with canvas(height=4.2) as drawn:
        ends: list[float] = []
        for width in named:
            color, _ = series(width.latent_dim, latent_dims(fit))
            index = local.latent_dims.index(width.latent_dim)
            means = local.means[:, index]
            sds = np.sqrt(local.covariances[:, index, index])
            x = np.linspace(
                float(np.min(means - _REACH * sds)), float(np.max(means + _REACH * sds)), 400
            )
            density = local.weights @ norm.pdf(x[None, :], means[:, None], sds[:, None])
            seen = density > 0.002 * density.max()
            drawn.axes.fill_between(
                np.exp(x[seen]),
                density[seen] / density.max(),
                color=color,
                alpha=0.25,
                linewidth=0,
            )
            drawn.axes.plot(
                np.exp(x[seen]),
                density[seen] / density.max(),
                color=color,
                label=f"{width.latent_dim}",
            )
            ends += [float(np.exp(x[seen][0])), float(np.exp(x[seen][-1]))]
            before = priors[width.latent_dim]
            if before is not None:
                t = np.linspace(-2.5, 2.5, 120)
                drawn.axes.plot(
                    np.exp(before.mean + before.sd * t),
                    np.exp(-(t**2) / 2),
                    "--",
                    color=color,
                    linewidth=1,
                )
                ends += [float(np.exp(before.mean + before.sd * reach)) for reach in (-2.5, 2.5)]
        log_axis(drawn.axes.xaxis, min(ends), max(ends))
        drawn.axes.set_ylim(0, 1.12)
        drawn.axes.set_yticks([])
        drawn.axes.set_xlabel("alpha")
        drawn.axes.set_ylabel("density, each to its own height")
        drawn.legend_above("width")
        listed = ", ".join(f"{show.number(width.point)} at {width.latent_dim}" for width in named)
        dashed = any(before is not None for before in priors.values())
        caption = f"Filled: after all runs ({listed})." + (
            " Dashed: before, as the first trial's prediction implies it." if dashed else ""
        )
        return drawn.finish(name, _TITLE, caption)
