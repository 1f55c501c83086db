"""Simulated studies with a known truth, for the coverage benchmark.

A study has four widths with three alphas each around the target, and 3 % noise that the fit is not
told. The truth is a curve form in t = ln alpha - ln alpha*, so that alpha for the target is known
exactly; alpha* follows a power of the width, with or without a scatter between widths, and the
curve's shape is shared by the widths or changes with them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.bracketing import LocalCell

Array = npt.NDArray[np.floating]

WIDTHS = np.array([512, 1024, 2048, 4096])
TARGET = 64.0
NOISE = 0.03
LOG_WIDTH = np.log(WIDTHS / 1448.0)
FORMS = ("exponential", "power", "stretched", "hill")
ALL_FORMS = (*FORMS, *(f"{form}_floor" for form in FORMS))


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is simulated."""

    form: str
    spacing: float
    scatter: float
    changing: bool


@dataclass(frozen=True, kw_only=True)
class Study:
    """One simulated study and its truth."""

    design: Design
    shape: Array
    change: Array
    beta: float
    log_alpha_star: Array
    log_alpha: Array
    log_l0: Array

    def cells(self) -> list[LocalCell]:
        """What the fit sees."""
        return [
            LocalCell(latent_dim=int(width), log_alpha=u, log_l0=y, target=TARGET)
            for width, u, y in zip(WIDTHS, self.log_alpha, self.log_l0, strict=True)
        ]


def _exponential(t: Array, s: Array) -> Array:
    return -s[0] * np.expm1(t)


def _power(t: Array, s: Array) -> Array:
    return -s[0] * t


def _stretched(t: Array, s: Array) -> Array:
    return -s[0] / s[1] * np.expm1(s[1] * t)


def _hill(t: Array, s: Array) -> Array:
    share = s[0] / (1 + s[0])  # of the way down at the target; s[0] is (alpha* / scale)^p
    return -np.log1p(share * np.expm1(s[1] * t))


_CURVES: dict[str, Callable[[Array, Array], Array]] = {
    "exponential": _exponential,
    "power": _power,
    "stretched": _stretched,
    "hill": _hill,
}


def log_ratio(form: str, t: Array, shape: Array) -> Array:
    """Ln (L0 / target) at t; 0 at t = 0. The floor, if any, is the last shape parameter."""
    curve = _CURVES[form.removesuffix("_floor")]
    if not form.endswith("_floor"):
        return curve(t, shape)
    # The floor's odds against what is above it at the target.
    floor = shape[-1] / (1 + shape[-1])
    return np.log(floor + (1 - floor) * np.exp(curve(t, shape[:-1])))


def random_shape(form: str, rng: np.random.Generator) -> Array:
    """Shape parameters, all positive, in the ranges that measured curves have."""
    elasticity = float(np.exp(rng.uniform(np.log(0.5), np.log(2.5))))
    own = {
        "exponential": [elasticity],
        "power": [elasticity],
        "stretched": [elasticity, float(rng.uniform(0.4, 1.3))],
        "hill": [float(np.exp(rng.uniform(-1, 2.5))), float(rng.uniform(0.7, 2.5))],
    }[form.removesuffix("_floor")]
    return np.array([*own, float(rng.uniform(0.02, 0.4))] if form.endswith("_floor") else own)


def simulate(design: Design, rng: np.random.Generator) -> Study:
    """One study; its noise is drawn again until every width brackets the target."""
    shape = random_shape(design.form, rng)
    change = rng.normal(scale=0.1, size=len(shape)) * design.changing
    beta = float(rng.normal(scale=0.4))
    star = rng.normal() + beta * LOG_WIDTH + design.scatter * rng.normal(size=len(WIDTHS))
    step = np.log(design.spacing)
    offset = rng.uniform(-0.9, 0.9, size=len(WIDTHS)) * step
    log_alpha = star[:, None] + offset[:, None] + step * np.array([-1.0, 0.0, 1.0])
    mean = model(design.form, shape, change, log_alpha - star[:, None])
    while True:
        log_l0 = mean + NOISE * rng.normal(size=mean.shape)
        study = Study(
            design=design,
            shape=shape,
            change=change,
            beta=beta,
            log_alpha_star=star,
            log_alpha=log_alpha,
            log_l0=log_l0,
        )
        if all(cell.bracketed for cell in study.cells()):
            return study


def model(form: str, shape: Array, change: Array, t: Array) -> Array:
    """Ln L0 at t [widths, alphas], with the shape of each width."""
    return np.log(TARGET) + np.array(
        [
            log_ratio(form, row, shape * np.exp(change * x))
            for row, x in zip(t, LOG_WIDTH, strict=True)
        ]
    )
