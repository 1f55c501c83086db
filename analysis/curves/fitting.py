"""Fits of the global forms to one width's runs, by least squares in ln L0.

Errors of L0 are multiplicative (measured: seeds differ by a constant factor, not by a constant
number of latents), so a fit minimises the squared differences of ln L0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays import FloatArray
from analysis.curves.forms import FORMS, Form
from analysis.errors import AnalysisError


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
    """Root mean square of ln(observed / fitted); nan with 0 degrees of freedom says nothing."""
    max_factor: float
    """The largest of observed / fitted and fitted / observed."""
    flags: tuple[str, ...]
    """What a reader must know, such as '0 d.o.f.'."""

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
        return FORMS[self.form].inverse(target, self.parameters)


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
    alphas, log_l0 = _checked(alpha, l0, drop_zero=not spec.has_ceiling)
    n_alphas = len(np.unique(alphas))
    if n_alphas < len(spec.parameters):
        raise AnalysisError(
            f"{form} must have at least {len(spec.parameters)} distinct alphas, "
            f"but got {n_alphas}."
        )
    parameters = _closed_form(form, alphas, log_l0)
    residuals = log_l0 - np.log(spec.predict(alphas, parameters))
    dof = n_alphas - len(spec.parameters)
    return CurveFit(
        form=form,
        parameters=parameters,
        n=len(alphas),
        n_alphas=n_alphas,
        dof=dof,
        rms_log=float(np.sqrt(np.mean(residuals**2))),
        max_factor=float(np.exp(np.max(np.abs(residuals)))),
        flags=_flags(dof, parameters),
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


def _checked(
    alpha: Sequence[float] | FloatArray, l0: Sequence[float] | FloatArray, *, drop_zero: bool
) -> tuple[FloatArray, FloatArray]:
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
    used = alphas > 0 if drop_zero else np.ones(len(alphas), dtype=bool)
    return alphas[used], np.log(values[used])


def _closed_form(form: Form, alphas: FloatArray, log_l0: FloatArray) -> dict[str, float]:
    """Ordinary least squares of ln L0 on alpha (exponential) or on ln alpha (power)."""
    if form is Form.exponential:
        intercept, slope = _straight_line(alphas, log_l0)
        return {"A": math.exp(intercept), "k": -slope}
    intercept, slope = _straight_line(np.log(alphas), log_l0)
    return {"A": math.exp(intercept), "s": -slope}


def _straight_line(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return float(y.mean()) - slope * float(x.mean()), slope


def _flags(dof: int, parameters: Mapping[str, float]) -> tuple[str, ...]:
    flags: list[str] = []
    if dof == 0:
        flags.append("0 d.o.f.: the curve passes through its points whatever they are")
    if parameters.get("k", parameters.get("s", 1.0)) <= 0:
        flags.append("L0 does not fall with alpha in this fit")
    return tuple(flags)
