"""Global forms of L0(alpha) for one width, the guide's own among them.

A form is a family of falling curves. Which one holds depends on the distribution of the code's
magnitudes: soft thresholding leaves L0(alpha) = P(magnitude > alpha), so exponential magnitudes
give the guide's exponential, Weibull ones a stretched exponential, heavy tails a power. None is
built in: each is fitted, and its misfit is printed beside it. With a floor F, some latents stay on
whatever alpha is (measured: tests/data/l0_curve_saelens_719.csv).

Fits work on ln L0 and on the logarithms of the parameters, so that all stay positive.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analysis.arrays import FloatArray
from analysis.errors import AnalysisError


class Form(StrEnum):
    """A family of curves L0(alpha)."""

    exponential = "exponential"
    power = "power"
    stretched = "stretched"
    hill = "hill"
    exponential_floor = "exponential_floor"
    power_floor = "power_floor"
    stretched_floor = "stretched_floor"
    hill_floor = "hill_floor"


@dataclass(frozen=True, kw_only=True, slots=True)
class FormSpec:
    """What there is to know about a form, apart from data."""

    formula: str
    """For people."""
    parameters: tuple[str, ...]
    """In the order of the arrays; all positive."""
    has_ceiling: bool
    """Whether L0 stays finite as alpha goes to 0, so that runs at alpha 0 inform it."""
    has_floor: bool
    """Whether L0 stays above some F however large alpha is."""
    log_model: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
    """From ln alpha [N] and ln parameters [B, P] to ln L0 [B, N] and its Jacobian [B, N, P]."""
    inverse: Callable[[float, Mapping[str, float]], float]
    """Alpha at which L0 is a target that the form reaches."""

    def predict(self, alpha: FloatArray, values: Mapping[str, float]) -> FloatArray:
        """L0 at the alphas given; NaN for a fit that rises, which is no curve of the family."""
        if min(values[name] for name in self.parameters) < 0:
            return np.full(np.shape(alpha), np.nan)
        # Alpha may be zero, and so may a parameter that fell below the smallest number.
        with np.errstate(divide="ignore"):
            log_alpha = np.log(np.atleast_1d(alpha))
            log_values = np.log([[values[name] for name in self.parameters]])
        return np.exp(self.log_model(log_alpha, log_values)[0][0]).reshape(np.shape(alpha))


LogModel = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


def _power_of_alpha(
    log_alpha: FloatArray, log_scale: FloatArray, p: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(alpha / scale)^p with its derivatives by ln scale and by ln p, all [B, N]; 0 at alpha 0."""
    distance = np.where(np.isfinite(log_alpha), log_alpha, 0.0) - log_scale[:, None]
    exponent = p[:, None] * distance
    value = np.where(np.isfinite(log_alpha), np.exp(np.minimum(exponent, 700.0)), 0.0)
    return value, -p[:, None] * value, exponent * value


def _log_exponential(log_alpha: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    ones = np.ones((len(theta), len(log_alpha)))
    x = np.exp(log_alpha + theta[:, 1:2])
    return theta[:, :1] - x, np.stack([ones, -x], axis=-1)


def _log_power(log_alpha: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    ones = np.ones((len(theta), len(log_alpha)))
    drop = np.exp(theta[:, 1:2]) * log_alpha
    return theta[:, :1] - drop, np.stack([ones, -drop], axis=-1)


def _log_stretched(log_alpha: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    x, by_scale, by_p = _power_of_alpha(log_alpha, theta[:, 1], np.exp(theta[:, 2]))
    return theta[:, :1] - x, np.stack([np.ones_like(x), -by_scale, -by_p], axis=-1)


def _log_hill(log_alpha: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    x, by_scale, by_p = _power_of_alpha(log_alpha, theta[:, 1], np.exp(theta[:, 2]))
    slopes = np.stack([np.ones_like(x), -by_scale / (1 + x), -by_p / (1 + x)], axis=-1)
    return theta[:, :1] - np.log1p(x), slopes


def _with_floor(log_model: LogModel) -> LogModel:
    """Ln(F + G) and its Jacobian, from those of ln G; ln F is the last parameter."""

    def model(log_alpha: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        log_g, slopes = log_model(log_alpha, theta[:, :-1])
        total = np.logaddexp(log_g, theta[:, -1:])
        share = np.exp(log_g - total)
        return total, np.concatenate([share[..., None] * slopes, (1 - share)[..., None]], axis=-1)

    return model


def _ceiling_ratio(target: float, values: Mapping[str, float]) -> float:
    """A / G at the target, G being what is above the floor; at least 1."""
    floor = values.get("F", 0.0)
    if target <= floor:
        raise AnalysisError(
            f"target_l0 must be above the model's floor ({floor:.6g}), but got {target:.6g}: "
            "it is below the model's floor."
        )
    return values["A"] / (target - floor)


def _below_ceiling(target: float, values: Mapping[str, float]) -> float:
    ratio = _ceiling_ratio(target, values)
    if ratio < 1:
        ceiling = values["A"] + values.get("F", 0.0)
        raise AnalysisError(
            f"target_l0 must be below the model's ceiling ({ceiling:.6g}), "
            f"but got {target:.6g}: it is above the model's ceiling."
        )
    return ratio


def _inverse_exponential(target: float, values: Mapping[str, float]) -> float:
    return math.log(_below_ceiling(target, values)) / values["k"]


def _inverse_power(target: float, values: Mapping[str, float]) -> float:
    return _ceiling_ratio(target, values) ** (1 / values["s"])


def _inverse_stretched(target: float, values: Mapping[str, float]) -> float:
    ratio = _below_ceiling(target, values)
    return values["scale"] * math.log(ratio) ** (1 / values["p"])


def _inverse_hill(target: float, values: Mapping[str, float]) -> float:
    ratio = _below_ceiling(target, values)
    return values["scale"] * (ratio - 1) ** (1 / values["p"])


_BASES = (
    (Form.exponential, "A exp(-k alpha)", ("A", "k"), _log_exponential, _inverse_exponential),
    (Form.power, "A alpha^-s", ("A", "s"), _log_power, _inverse_power),
    (
        Form.stretched,
        "A exp(-(alpha / scale)^p)",
        ("A", "scale", "p"),
        _log_stretched,
        _inverse_stretched,
    ),
    (Form.hill, "A / (1 + (alpha / scale)^p)", ("A", "scale", "p"), _log_hill, _inverse_hill),
)


def _specs() -> dict[Form, FormSpec]:
    """The four families, then each of them with a floor."""
    plain = {
        form: FormSpec(
            formula=f"L0 = {formula}",
            parameters=parameters,
            has_ceiling=form is not Form.power,
            has_floor=False,
            log_model=log_model,
            inverse=inverse,
        )
        for form, formula, parameters, log_model, inverse in _BASES
    }
    floored = {
        Form(f"{form}_floor"): FormSpec(
            formula=f"L0 = F + {formula}",
            parameters=(*parameters, "F"),
            has_ceiling=form is not Form.power,
            has_floor=True,
            log_model=_with_floor(log_model),
            inverse=inverse,
        )
        for form, formula, parameters, log_model, inverse in _BASES
    }
    return plain | floored


FORMS: dict[Form, FormSpec] = _specs()
