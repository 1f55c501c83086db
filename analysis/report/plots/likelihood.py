"""P5: the likelihood of the exponent, all else summed over, with and without each width."""

import numpy as np

from analysis.arrays import FloatArray
from analysis.exponent import GUIDE_EXPONENT, ExponentFit
from analysis.report.data import ReportData
from analysis.report.svg import GUIDE, INK, MUTED, TARGET, Absent, Drawing, canvas, series
from analysis.results import Refit

_TITLE = "How sharply the runs know the exponent"
_DEVIANCE_95 = 3.841  # 95 % quantile of chi squared with one degree of freedom
_HIGHEST = 8.0


def draw_likelihood(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws -2 ln (likelihood / largest) of the exponent in width."""
    if fit.exponent is None or fit.local is None:
        reason = fit.exponent_reason or "there is no exponent"
        return Absent(name=name, title=_TITLE, reason=reason)
    widths = fit.exponent.latent_dims
    with canvas(height=4.2) as drawn:
        x = _grid(fit.exponent)
        for width, without in data.without(fit):
            color, _ = series(width, widths)
            drawn.axes.plot(
                x, deviance(without, x), color=color, linewidth=1, label=f"without {width}"
            )
        drawn.axes.plot(x, deviance(fit.exponent, x), color=INK, linewidth=2.4, label="all widths")
        drawn.axes.axhline(_DEVIANCE_95, color=TARGET, linewidth=1.1)
        for value, color in ((fit.theory_exponent, MUTED), (GUIDE_EXPONENT, GUIDE)):
            if x[0] < value < x[-1]:
                drawn.axes.axvline(value, color=color, linestyle="--", linewidth=1.4)
        drawn.axes.set_ylim(_HIGHEST, -0.2)
        drawn.axes.set_xlim(float(x[0]), float(x[-1]))
        drawn.axes.set_xlabel("exponent of alpha in width")
        drawn.axes.set_ylabel("-2 ln (likelihood / largest)")
        drawn.legend_above(columns=3)
        is_theory_seen = x[0] < fit.theory_exponent < x[-1]
        return drawn.finish(name, _TITLE, _CAPTION + (_THEORY if is_theory_seen else ""))


_CAPTION = (
    "Curves that rise to a sharp top know the exponent well; what lies above the green line is "
    "within 95 %. A width without which the top moves carries the exponent alone."
)
_THEORY = " Dashed: theory."


def deviance(fit: ExponentFit, exponents: FloatArray) -> FloatArray:
    """-2 ln of the likelihood over its largest, noise, shapes and scatter summed over."""
    sds = np.sqrt(fit.beta_variances)[:, None]
    scores = (exponents[None, :] - fit.beta_means[:, None]) / sds
    density = fit.weights @ (np.exp(-0.5 * scores**2) / sds)
    with np.errstate(divide="ignore"):
        return -2 * np.log(density / np.max(density))


def _grid(fit: ExponentFit) -> FloatArray:
    beta = fit.beta
    reach = max(beta.high - beta.value, beta.value - beta.low)
    return np.linspace(beta.value - 1.6 * reach, beta.value + 1.6 * reach, 241)
