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
    """Root mean square of ln(observed / fitted); with 0 degrees of freedom it says nothing."""
    max_factor: float
    """The largest of observed / fitted and fitted / observed."""
    flags: tuple[str, ...]
    """What a reader must know, such as '0 d.o.f.'."""
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
    alpha: Sequence[float] | FloatArray, l0: Sequence[float] | FloatArray, form: Form | str
) -> CurveFit:
    """Fits one form.

    Args:
        alpha: Coefficients, at least 0; runs at 0 enter only where the form has a ceiling.
        l0: L0 of each run, above 0, as a count or as a fraction.
        form: The family.

    Raises:
        AnalysisError: Fewer distinct alphas than parameters, or values that cannot be.
    """
    form = Form(form)
    spec = FORMS[form]
    alphas, log_l0 = usable_runs(alpha, l0, form)
    n_alphas = len(np.unique(alphas))
    if n_alphas < len(spec.parameters) or not np.any(alphas > 0):
        raise AnalysisError(
            f"{form} must have at least {len(spec.parameters)} distinct alphas, "
            f"but got {n_alphas}."
        )
    parameters, fitted = _closed_form(form, alphas, log_l0) or _searched(form, alphas, log_l0)
    residuals = log_l0 - fitted
    dof = n_alphas - len(spec.parameters)
    without_floor = parameters.get("F", math.inf) < _NO_FLOOR * math.exp(float(log_l0.min()))
    return CurveFit(
        form=form,
        parameters=parameters,
        n=len(alphas),
        n_alphas=n_alphas,
        dof=dof,
        rms_log=float(np.sqrt(np.mean(residuals**2))),
        max_factor=float(np.exp(np.max(np.abs(residuals)))),
        flags=_flags(dof, parameters, without_floor=without_floor),
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


def usable_runs(
    alpha: Sequence[float] | FloatArray, l0: Sequence[float] | FloatArray, form: Form
) -> tuple[FloatArray, FloatArray]:
    """Alpha and ln L0 of the runs that inform a form.

    Raises:
        AnalysisError: Values that cannot be.
    """
    alphas = np.asarray(alpha, dtype=np.float64)
    values = np.asarray(l0, dtype=np.float64)
    if alphas.shape != values.shape or alphas.ndim != 1:
        raise AnalysisError(
            f"alpha and l0 must be of one length, but got {alphas.shape} and {values.shape}."
        )
    if not (np.all(np.isfinite(alphas)) and np.all(alphas >= 0)):
        raise AnalysisError(f"alpha must be at least 0 and finite, but got {alphas.tolist()!r}.")
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise AnalysisError(f"l0 must be positive and finite, but got {values.tolist()!r}.")
    used = (alphas > 0) | FORMS[form].has_ceiling
    return alphas[used], np.log(values[used])


def log_of(alphas: FloatArray) -> FloatArray:
    """Ln alpha, minus infinity at 0."""
    with np.errstate(divide="ignore"):
        return np.log(alphas)


def model_of(form: Form, log_alpha: FloatArray) -> Model:
    """The form at these alphas, as the solver wants it."""
    log_model = FORMS[form].log_model
    return lambda theta: log_model(log_alpha, theta)


def _closed_form(
    form: Form, alphas: FloatArray, log_l0: FloatArray
) -> tuple[dict[str, float], FloatArray] | None:
    """Ordinary least squares of ln L0 on alpha (exponential) or on ln alpha (power)."""
    if form not in (Form.exponential, Form.power):
        return None
    x = alphas if form is Form.exponential else np.log(alphas)
    centred = x - x.mean()
    slope = float(centred @ (log_l0 - log_l0.mean()) / (centred @ centred))
    intercept = float(log_l0.mean()) - slope * float(x.mean())
    name = "k" if form is Form.exponential else "s"
    return {"A": math.exp(intercept), name: -slope}, intercept + slope * x


def _searched(
    form: Form, alphas: FloatArray, log_l0: FloatArray
) -> tuple[dict[str, float], FloatArray]:
    log_alpha = log_of(alphas)
    model = model_of(form, log_alpha)
    some = spread(alphas, _RUNS_FOR_A_START)
    theta, _ = best_of(
        model_of(form, log_alpha[some]), log_l0[some], starts(form, log_alpha[some], log_l0[some])
    )
    if len(some) < len(alphas):
        theta = least_squares(model, log_l0, theta[None], iterations=_POLISHING)[0][0]
    values = np.exp(np.clip(theta, -700, 700))
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
