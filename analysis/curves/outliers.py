"""Runs that lie off every curve count less: Huber's weights, where there are runs enough.

A fit must not vote out a run that it merely cannot follow. So runs are judged once for all forms,
by the form that explains them best, and only

* with six alphas or more at a width, and two for each of that form's parameters;
* beyond the residual that the largest of so many clean runs reaches once in a hundred widths
  (Student's t), in units of a scale that such runs do not move and that is never below 3 %;
* where no more than a quarter of the runs are beyond it: otherwise the form is wrong, not they.

Such a run weighs limit / |residual|: it pulls with a constant force, however far off it lies.
Where there is none, all weights are 1, and every fit is the plain one to the last digit.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from analysis.arrays import FloatArray
from analysis.curves.fitting import CurveFit, CurveRuns, log_of, model_of
from analysis.curves.forms import FORMS
from analysis.curves.solver import least_squares

STATED_NOISE = 0.03
"""Sd of ln L0 between seeds where it is not measured; a stated default."""
ALPHAS_NEEDED = 6
"""Distinct alphas below which no run is judged."""

_ALPHAS_FOR_A_PARAMETER = 2
_FALSE_ALARMS = 0.01
_LARGEST_SHARE = 0.25
_MEDIAN_OF_NORMAL = 0.6744897501960817  # of |z|, z standard normal
# While the curve is sought, residuals beyond this many stated noises pull with a constant force.
_SEEKING = 1.345
_ROUNDS = 20
_ITERATIONS = 10
_MOST_JUDGES = 3
_STANDS_STILL = 1e-4


def run_weights(fits: Sequence[CurveFit], runs: CurveRuns) -> FloatArray:
    """What each run counts for, [runs]: 1, or less for one that lies off the curve of the others.

    Args:
        fits: Plain fits of the forms that the runs allow.
        runs: All runs of the width, weighed by what their evaluation is worth.
    """
    ones = np.ones(len(runs.alphas))
    plain = [(fit, _residuals(fit, runs)) for fit in fits if _may_judge(fit, len(ones))]
    if not plain or any(np.abs(each).max() <= _limit(fit, STATED_NOISE) for fit, each in plain):
        return ones
    candidates = sorted(plain, key=lambda each: _misfit(*each))[:_MOST_JUDGES]
    sought = [(fit, _robust_residuals(fit, runs)) for fit, _ in candidates]
    judge, residuals = min(sought, key=lambda each: _misfit(*each))
    limit = _limit(judge, _scale(judge, residuals))
    found = np.minimum(1.0, limit / np.maximum(np.abs(residuals), limit))
    return found if np.mean(found < 1) <= _LARGEST_SHARE else ones


def _residuals(fit: CurveFit, runs: CurveRuns) -> FloatArray:
    """Of ln L0, in units in which all runs have one noise."""
    return np.sqrt(runs.weights) * (runs.log_l0 - np.log(fit.predict(runs.alphas)))


def _may_judge(fit: CurveFit, n: int) -> bool:
    """Whether a form rests on enough alphas, was fitted to all runs, and can be fitted again."""
    needed = max(ALPHAS_NEEDED, _ALPHAS_FOR_A_PARAMETER * len(fit.parameters))
    positive = all(value > 0 for value in fit.parameters.values())
    return fit.n_alphas >= needed and fit.n == n and positive and not fit.without_floor


def _limit(fit: CurveFit, scale: float) -> float:
    """The residual that the largest of so many clean runs reaches once in a hundred widths."""
    tail = _FALSE_ALARMS / (2 * fit.n)
    return scale * float(stdtrit(fit.n - len(fit.parameters), 1 - tail))


def _scale(fit: CurveFit, residuals: FloatArray) -> float:
    """Noise from the middle of the residuals, without the ones that a curve makes 0 by itself."""
    largest = np.sort(np.abs(residuals))[len(fit.parameters) :]
    return max(float(np.median(largest)) / _MEDIAN_OF_NORMAL, STATED_NOISE)


def _misfit(fit: CurveFit, residuals: FloatArray) -> float:
    """AICc at the stated noise, with Huber's loss in place of the squares."""
    z, n, p = np.abs(residuals) / STATED_NOISE, fit.n, len(fit.parameters)
    loss = np.where(z <= _SEEKING, z**2, 2 * _SEEKING * z - _SEEKING**2)
    return float(loss.sum()) + 2 * p + 2 * p * (p + 1) / (n - p - 1)


def _robust_residuals(fit: CurveFit, runs: CurveRuns) -> FloatArray:
    """Those of the curve with the least Huber's loss, by reweighting, from the plain fit on."""
    theta = np.log([[fit.parameters[name] for name in FORMS[fit.form].parameters]])
    model = model_of(fit.form, log_of(runs.alphas))
    residuals = _residuals(fit, runs)
    knee = _SEEKING * STATED_NOISE
    for _ in range(_ROUNDS):
        near = knee / np.maximum(np.abs(residuals), knee)
        theta, _ = least_squares(
            model, runs.log_l0, theta, near * runs.weights, iterations=_ITERATIONS
        )
        before, residuals = residuals, np.sqrt(runs.weights) * (runs.log_l0 - model(theta)[0][0])
        if np.max(np.abs(residuals - before)) < _STANDS_STILL:
            break
    return residuals
