"""Which form the runs of one width speak for, by three criteria that may disagree.

* Leave one alpha out: the rms of ln L0 at each alpha, predicted from all others. It is what counts
  for a handful of runs, and it needs no assumption about the noise.
* AICc with the noise taken as the stated 3 %.
* AICc with the noise fitted too, where it is defined (more runs than parameters + 2). With few
  runs its correction is so large that it prefers forms that visibly miss the data.

Runs at alpha 0 inform forms with a ceiling only, so forms without one are scored on fewer runs;
such scores are not compared with the others. A form whose floor goes to 0 is its own plain form
over again and is not compared either.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.arrays import FloatArray
from analysis.curves.fitting import (
    CurveFit,
    CurveRuns,
    fit_curve,
    log_of,
    model_of,
    spread,
    usable_runs,
)
from analysis.curves.forms import FORMS, Form
from analysis.curves.outliers import STATED_NOISE, run_weights
from analysis.curves.solver import least_squares
from analysis.errors import AnalysisError

# More alphas than this are left out in groups, which costs less and says the same.
_MOST_FOLDS = 12
_FOLD_ITERATIONS = 40
# Far below the third digit of the score.
_FOLD_GAIN = 1e-6
# So many runs, evenly over alpha, tell one form from another as well as all of them.
_MOST_RUNS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class FormScore:
    """One form's fit and what the criteria say about it; smaller is better for all of them."""

    fit: CurveFit
    """On all runs."""
    leave_one_out: float | None
    """Rms of ln L0 at left-out alphas; None with fewer alphas than parameters + 1."""
    aicc_stated_noise: float | None
    """AICc at 3 % noise; None with fewer than parameters + 2 alphas."""
    aicc_free_noise: float | None
    """AICc with fitted noise; None with fewer than parameters + 3 alphas."""
    comparable: bool
    """Whether it was scored on all runs, and its floor, if any, is identified."""
    weight: float
    """In the average of alpha over forms, from leave-one-out; 0 where that is not defined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All forms that the runs allow."""

    scores: tuple[FormScore, ...]
    """The best by leave-one-out first."""
    choice: Form | None
    """By leave-one-out; None where it is defined for no form."""
    by_stated_noise: Form | None
    """By AICc at 3 % noise."""
    by_free_noise: Form | None
    """By AICc with fitted noise."""
    notes: tuple[str, ...]
    """Disagreements between the criteria."""
    run_weights: tuple[float, ...]
    """What each run counts for in every form: 1, or less for one that lies off every curve."""

    def score(self, form: Form | str) -> FormScore:
        """The score of one form.

        Raises:
            AnalysisError: The runs do not allow that form.
        """
        for score in self.scores:
            if score.fit.form == form:
                return score
        raise AnalysisError(f"form must be one that the runs allow, but got {form}.")

    def average_alpha(self, target: float) -> tuple[float, float]:
        """Alpha at the target averaged over forms in ln alpha, and its spread between forms.

        Forms that never reach the target have no say.

        Raises:
            AnalysisError: No weighted form reaches the target.
        """
        reached: list[tuple[float, float]] = []
        for score in self.scores:
            try:
                alpha = score.fit.inverse(target)
            except AnalysisError:
                continue
            if score.weight > 0 and alpha > 0 and math.isfinite(alpha):
                reached.append((score.weight, math.log(alpha)))
        if not reached:
            raise AnalysisError(f"target_l0 must be reached by some form, but got {target!r}.")
        weights, logs = np.array(reached).T
        mean = float(np.average(logs, weights=weights))
        return math.exp(mean), math.sqrt(float(np.average((logs - mean) ** 2, weights=weights)))


def compare_forms(
    alpha: Sequence[float] | FloatArray,
    l0: Sequence[float] | FloatArray,
    weights: FloatArray | None = None,
) -> Comparison:
    """Fits every form that the runs of one width allow, and scores them.

    Args:
        alpha: Coefficients, at least 0.
        l0: L0 of each run, above 0.
        weights: What each run's evaluation is worth, above 0; None for 1. Runs that lie off every
            curve count less in addition (`analysis.curves.outliers`).

    Raises:
        AnalysisError: Values that cannot be.
    """
    everything = usable_runs(alpha, l0, Form.exponential, weights)
    fits = _fits(alpha, l0, everything.weights)
    robust = run_weights(fits, everything)
    if np.any(robust < 1):
        fits = _fits(alpha, l0, everything.weights * robust)
    combined = everything.weights * robust
    scores = _weighted(
        [_score(fit, usable_runs(alpha, l0, fit.form, combined), len(combined)) for fit in fits]
    )
    choice = _best(scores, [score.leave_one_out for score in scores])
    stated = _best(scores, [score.aicc_stated_noise for score in scores])
    free = _best(scores, [score.aicc_free_noise for score in scores])
    return Comparison(
        scores=tuple(sorted(scores, key=_rank)),
        choice=choice,
        by_stated_noise=stated,
        by_free_noise=free,
        notes=_disagreements(choice, stated, free),
        run_weights=tuple(map(float, robust)),
    )


def _fits(
    alpha: Sequence[float] | FloatArray, l0: Sequence[float] | FloatArray, weights: FloatArray
) -> list[CurveFit]:
    """Every form that may be shown."""
    at = np.unique(np.asarray(alpha, dtype=np.float64))
    return [
        fit_curve(alpha, l0, form, weights)
        for form in Form
        if _may_show(form, len(at if FORMS[form].has_ceiling else at[at > 0]))
    ]


def _may_show(form: Form, n_alphas: int) -> bool:
    """Whether the alphas leave the form a degree of freedom, or are the two of a line.

    A form with as many parameters as alphas passes through whatever there is.
    """
    dof = n_alphas - len(FORMS[form].parameters)
    return dof > 0 or (dof == 0 and n_alphas == 2)


def _score(fit: CurveFit, runs: CurveRuns, everything: int) -> FormScore:
    n, p = fit.n_alphas, len(FORMS[fit.form].parameters)
    rss = fit.rms_log**2 * fit.weight
    stated = free = None
    if n > p + 1:
        stated = rss / STATED_NOISE**2 + 2 * p + 2 * p * (p + 1) / (n - p - 1)
    if n > p + 2 and rss > 0:
        k = p + 1
        free = fit.n * math.log(rss / fit.n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    return FormScore(
        fit=fit,
        leave_one_out=_leave_one_out(fit, runs),
        aicc_stated_noise=stated,
        aicc_free_noise=free,
        comparable=len(runs.alphas) == everything and not fit.without_floor,
        weight=0.0,
    )


def _leave_one_out(fit: CurveFit, runs: CurveRuns) -> float | None:
    """Rms of what the others predict at each alpha; every fold starts from the full fit."""
    values = np.array([fit.parameters[name] for name in FORMS[fit.form].parameters])
    if fit.dof < 1 or np.any(values <= 0):
        return None
    runs = runs.keep(spread(runs.alphas, _MOST_RUNS))
    distinct, index = np.unique(runs.alphas, return_inverse=True)
    folds = min(len(distinct), _MOST_FOLDS)
    left_out = (index % folds)[None, :] == np.arange(folds)[:, None]
    model = model_of(fit.form, log_of(runs.alphas))
    theta, _ = least_squares(
        model,
        runs.log_l0,
        np.tile(np.log(values), (folds, 1)),
        weights=~left_out * runs.weights,
        iterations=_FOLD_ITERATIONS,
        least_gain=_FOLD_GAIN,
    )
    errors = (runs.log_l0 - model(theta)[0])[left_out]
    counts = np.broadcast_to(runs.weights, left_out.shape)[left_out]
    mean = float(np.average(errors**2, weights=counts))
    return math.sqrt(mean) if math.isfinite(mean) else None


def _weighted(scores: list[FormScore]) -> list[FormScore]:
    """Weights from the predictive density of the left-out runs, each form with its own error."""
    usable = [score for score in scores if score.comparable and score.leave_one_out is not None]
    if not usable:
        return scores
    # An error below the stated noise is luck, not evidence.
    errors = [max(score.leave_one_out or 0.0, STATED_NOISE) for score in usable]
    logs = [-score.fit.n_alphas * math.log(e) for score, e in zip(usable, errors, strict=True)]
    total = sum(math.exp(value - max(logs)) for value in logs)
    weights = {
        score.fit.form: math.exp(value - max(logs)) / total
        for score, value in zip(usable, logs, strict=True)
    }
    return [replace(score, weight=weights.get(score.fit.form, 0.0)) for score in scores]


def _best(scores: Sequence[FormScore], values: Sequence[float | None]) -> Form | None:
    found = [
        (value, len(score.fit.parameters), score.fit.form)
        for score, value in zip(scores, values, strict=True)
        if value is not None and score.comparable
    ]
    return min(found, key=lambda item: item[:2])[2] if found else None


def _rank(score: FormScore) -> tuple[bool, float, float]:
    missing = score.leave_one_out is None or not score.comparable
    return missing, score.leave_one_out or 0.0, score.fit.rms_log


def _disagreements(choice: Form | None, stated: Form | None, free: Form | None) -> tuple[str, ...]:
    notes: list[str] = []
    if choice is not None and stated is not None and stated != choice:
        notes.append(f"AICc at 3 % noise chooses {stated}, leave-one-out {choice}")
    if choice is not None and free is not None and free != choice:
        notes.append(f"AICc with free sigma disagrees: it chooses {free}, leave-one-out {choice}")
    return tuple(notes)
