"""Fits of the global forms to one width's runs, by least squares in ln L0.

Errors of L0 are multiplicative (measured: seeds differ by a constant factor, not by a constant
number of latents), so a fit minimises the squared differences of ln L0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.arrays import FloatArray
from analysis.curves.forms import FORMS, Form
from analysis.curves.solver import Model, best_of, least_squares
from analysis.curves.starts import starts
from analysis.errors import AnalysisError

# A floor below this share of the smallest L0 leaves no trace in the runs.
_NO_FLOOR = 1e-3
_RUNS_FOR_A_START = 30
# Logarithms of parameters beyond this have no exponential in a float.
_LARGEST_LOG = 700.0
_POLISHING = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveFit:
    """One form fitted to one width's runs."""

    form: Form
    """The family."""
    parameters: Mapping[str, float]
    """Unrounded."""
    n: int
    """Runs that entered."""
    n_alphas: int
    """Distinct alphas among them."""
    dof: int
    """Distinct alphas minus parameters: 0 means that the curve passes through its points."""
    rms_log: float
    """Root mean square of ln(observed / fitted), weighted; with 0 degrees of freedom it says
    nothing."""
    max_factor: float
    """The largest of observed / fitted and fitted / observed."""
    flags: tuple[str, ...]
    """What a reader must know, such as '0 d.o.f.'."""
    weight: float
    """What the runs count for together: `n`, unless some count less."""
    without_floor: bool = False
    """Whether the form has a floor and the runs put it at 0."""

    @property
    def formula(self) -> str:
        """The form as text."""
        return FORMS[self.form].formula

    def predict(self, alpha: Sequence[float] | FloatArray | float) -> FloatArray:
        """L0 at these alphas, in the unit of the L0 that was fitted."""
        return FORMS[self.form].predict(np.asarray(alpha, dtype=np.float64), self.parameters)

    def inverse(self, target: float) -> float:
        """Alpha at which the curve is at `target`, in the unit of the L0 that was fitted.

        Raises:
            AnalysisError: The curve never reaches the target.
        """
        if not target > 0:
            raise AnalysisError(f"target_l0 must be positive, but got {target!r}.")
        falls = self.parameters.get("k", self.parameters.get("s", 1.0)) > 0
        try:
            alpha = FORMS[self.form].inverse(target, self.parameters) if falls else math.inf
        except OverflowError:  # a curve that is flat to the last digits
            alpha = math.inf
        if not math.isfinite(alpha):
            raise AnalysisError(
                f"target_l0 must be where the fitted {self.form} falls to, but got {target:.6g}."
            )
        return alpha


def fit_curve(
    alpha: Sequence[float] | FloatArray,
    l0: Sequence[float] | FloatArray,
    form: Form | str,
    weights: FloatArray | None = None,
) -> CurveFit:
    """Fits one form.

    Args:
        alpha: Coefficients, at least 0; runs at 0 enter only where the form has a ceiling.
        l0: L0 of each run, above 0, as a count or as a fraction.
        form: The family.
        weights: What each run counts for, above 0; None for 1.

    Raises:
        AnalysisError: Fewer distinct alphas than parameters, or values that cannot be.
    """
    form = Form(form)
    spec = FORMS[form]
    runs = usable_runs(alpha, l0, form, weights)
    n_alphas = len(np.unique(runs.alphas))
    if n_alphas < len(spec.parameters) or not np.any(runs.alphas > 0):
        raise AnalysisError(
            f"{form} must have at least {len(spec.parameters)} distinct alphas, "
            f"but got {n_alphas}."
        )
    parameters, fitted = _closed_form(form, runs) or _searched(form, runs)
    residuals = runs.log_l0 - fitted
    dof = n_alphas - len(spec.parameters)
    without_floor = parameters.get("F", math.inf) < _NO_FLOOR * math.exp(float(runs.log_l0.min()))
    return CurveFit(
        form=form,
        parameters=parameters,
        n=len(residuals),
        n_alphas=n_alphas,
        dof=dof,
        rms_log=float(np.sqrt(np.average(residuals**2, weights=runs.weights))),
        max_factor=float(np.exp(np.max(np.abs(residuals)))),
        flags=_flags(dof, parameters, without_floor=without_floor),
        weight=float(runs.weights.sum()),
        without_floor=without_floor,
    )


def two_point_exponent(first: tuple[float, float], second: tuple[float, float]) -> float:
    """The exponent b of y proportional to x^b through two points (x, y): no degree of freedom.

    Raises:
        AnalysisError: A value is not positive, or both x are the same.
    """
    (x_1, y_1), (x_2, y_2) = first, second
    if min(x_1, y_1, x_2, y_2) <= 0 or x_1 == x_2:
        raise AnalysisError(
            f"two points must be positive with different x, but got {first!r} and {second!r}."
        )
    return math.log(y_2 / y_1) / math.log(x_2 / x_1)


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveRuns:
    """The runs that inform a form; arrays of one length."""

    alphas: FloatArray
    """At least 0."""
    log_l0: FloatArray
    """Ln L0."""
    weights: FloatArray
    """What each counts for."""

    def keep(self, some: npt.NDArray[np.int64]) -> "CurveRuns":
        """The runs at these places."""
        return CurveRuns(
            alphas=self.alphas[some], log_l0=self.log_l0[some], weights=self.weights[some]
        )


def usable_runs(
    alpha: Sequence[float] | FloatArray,
    l0: Sequence[float] | FloatArray,
    form: Form,
    weights: FloatArray | None = None,
) -> CurveRuns:
    """The runs that inform a form.

    Raises:
        AnalysisError: Values that cannot be.
    """
    alphas = np.asarray(alpha, dtype=np.float64)
    values = np.asarray(l0, dtype=np.float64)
    weighed = np.ones(alphas.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (alphas.shape == values.shape == weighed.shape) or alphas.ndim != 1:
        raise AnalysisError(
            f"alpha, l0 and weights must be of one length, but got {alphas.shape}, {values.shape} "
            f"and {weighed.shape}."
        )
    if not (np.all(np.isfinite(alphas)) and np.all(alphas >= 0)):
        raise AnalysisError(f"alpha must be at least 0 and finite, but got {alphas.tolist()!r}.")
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise AnalysisError(f"l0 must be positive and finite, but got {values.tolist()!r}.")
    if not (np.all(np.isfinite(weighed)) and np.all(weighed > 0)):
        raise AnalysisError(f"weights must be positive, but got {weighed.tolist()!r}.")
    used = (alphas > 0) | FORMS[form].has_ceiling
    return CurveRuns(alphas=alphas[used], log_l0=np.log(values[used]), weights=weighed[used])


def log_of(alphas: FloatArray) -> FloatArray:
    """Ln alpha, minus infinity at 0."""
    with np.errstate(divide="ignore"):
        return np.log(alphas)


def model_of(form: Form, log_alpha: FloatArray) -> Model:
    """The form at these alphas, as the solver wants it."""
    log_model = FORMS[form].log_model
    return lambda theta: log_model(log_alpha, theta)


def _closed_form(form: Form, runs: CurveRuns) -> tuple[dict[str, float], FloatArray] | None:
    """Weighted least squares of ln L0 on alpha (exponential) or on ln alpha (power)."""
    if form not in (Form.exponential, Form.power):
        return None
    x = runs.alphas if form is Form.exponential else np.log(runs.alphas)
    middle = float(np.average(x, weights=runs.weights))
    height = float(np.average(runs.log_l0, weights=runs.weights))
    pull = runs.weights * (x - middle)
    slope = float(pull @ (runs.log_l0 - height) / (pull @ (x - middle)))
    intercept = height - slope * middle
    name = "k" if form is Form.exponential else "s"
    ceiling = math.exp(min(intercept, _LARGEST_LOG))
    return {"A": ceiling, name: -slope}, intercept + slope * x


def _searched(form: Form, runs: CurveRuns) -> tuple[dict[str, float], FloatArray]:
    model = model_of(form, log_of(runs.alphas))
    some = runs.keep(spread(runs.alphas, _RUNS_FOR_A_START))
    log_alpha = log_of(some.alphas)
    theta, _ = best_of(
        model_of(form, log_alpha), some.log_l0, starts(form, log_alpha, some.log_l0), some.weights
    )
    if len(some.alphas) < len(runs.alphas):
        theta = least_squares(
            model, runs.log_l0, theta[None], runs.weights, iterations=_POLISHING
        )[0][0]
    values = np.exp(np.clip(theta, -_LARGEST_LOG, _LARGEST_LOG))
    fitted = model(theta[None])[0][0]
    return dict(zip(FORMS[form].parameters, map(float, values), strict=True)), fitted


def spread(alphas: FloatArray, most: int) -> npt.NDArray[np.int64]:
    """Indices of at most `most` runs, evenly over the alphas."""
    order = np.argsort(alphas, kind="stable")
    if len(order) <= most:
        return np.arange(len(order))
    return np.unique(order[np.linspace(0, len(order) - 1, most).astype(np.int64)])


def _flags(dof: int, parameters: Mapping[str, float], *, without_floor: bool) -> tuple[str, ...]:
    flags: list[str] = []
    if without_floor:
        flags.append("the floor went to 0: the form without it says the same")
    if dof == 0:
        flags.append("0 d.o.f.: the curve passes through its points whatever they are")
    if parameters.get("k", parameters.get("s", 1.0)) <= 0:
        flags.append("L0 does not fall with alpha in this fit")
    return tuple(flags)
