"""Global forms of L0(alpha) for one width, the guide's own among them.

A form is a family of falling curves. Which one holds depends on the distribution of the code's
magnitudes (exponential magnitudes give the guide's exponential), so none is built in: each is
fitted, and its misfit is printed beside it.
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
    """A exp(-k alpha): the guide's."""
    power = "power"
    """A alpha^-s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FormSpec:
    """What there is to know about a form, apart from data."""

    formula: str
    """For people."""
    parameters: tuple[str, ...]
    """In the order in which they are printed."""
    has_ceiling: bool
    """Whether L0 stays finite as alpha goes to 0, so that runs at alpha 0 inform it."""
    predict: Callable[[FloatArray, Mapping[str, float]], FloatArray]
    """L0 at the alphas given."""
    inverse: Callable[[float, Mapping[str, float]], float]
    """Alpha at which L0 is the target."""


def _predict_exponential(alpha: FloatArray, values: Mapping[str, float]) -> FloatArray:
    return values["A"] * np.exp(-values["k"] * alpha)


def _inverse_exponential(target: float, values: Mapping[str, float]) -> float:
    if target > values["A"]:
        raise AnalysisError(
            f"target_l0 must be below the model's ceiling ({values['A']:.6g}), "
            f"but got {target:.6g}: it is above the model's ceiling."
        )
    return math.log(values["A"] / target) / values["k"]


def _predict_power(alpha: FloatArray, values: Mapping[str, float]) -> FloatArray:
    return values["A"] * alpha ** -values["s"]


def _inverse_power(target: float, values: Mapping[str, float]) -> float:
    return (values["A"] / target) ** (1 / values["s"])


FORMS: dict[Form, FormSpec] = {
    Form.exponential: FormSpec(
        formula="L0 = A exp(-k alpha)",
        parameters=("A", "k"),
        has_ceiling=True,
        predict=_predict_exponential,
        inverse=_inverse_exponential,
    ),
    Form.power: FormSpec(
        formula="L0 = A alpha^-s",
        parameters=("A", "s"),
        has_ceiling=False,
        predict=_predict_power,
        inverse=_inverse_power,
    ),
}
