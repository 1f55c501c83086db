"""The family of curves L0(alpha) that the search believes in, and its prior.

L0(alpha) is the survival function of code magnitudes (soft thresholding), so the family is that
of the Burr XII distribution: the stretched exponential (sharpness -> 0) and Hill's curve
(sharpness 1) are members, and an optional floor of latents that no alpha switches off is added.

With y = ln(L0 / target), x = ln(alpha / alpha*), headroom g, power p and sharpness q:

    y(x) = g - ln(1 + (exp(q g) - 1) exp(p x)) / q

so that y(0) = 0 and the elasticity at the target is -y'(0) = p (1 - exp(-q g)) / q: near its
ceiling a curve is flat. With a floor f (a fraction of the target) the part above it follows this
curve: exp(y) = f + (1 - f) exp(y_above).

Shapes: S curves; x broadcasts against [S].
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapePrior:
    """Gaussian beliefs about the shape of a curve at its target."""

    ln_power: float = log(0.9)
    """Mean of ln p: alpha's exponent near the ceiling; 0.6 to 0.9 fits layer 3 of MiniLM, 0.5
    and 1 are the exponential laws of magnitudes and of their roots, 1 to 2.5 Hill's."""
    ln_power_sd: float = 0.5
    """Its sd."""
    ln_ceiling: float = log(0.3)
    """Mean of ln(L0 as alpha -> 0, over latent_dim)."""
    ln_ceiling_sd: float = 0.8
    """Its sd: from 0.06 (nine in ten latents dead, as in the guide's job 1) to all latents; a
    fresh ReLU encoder has half of them on."""
    ln_sharpness: float = log(0.3)
    """Mean of ln q, between the stretched exponential (0) and Hill's curve (1): assumption."""
    ln_sharpness_sd: float = 1.0
    """Its sd."""
    floor_probability: float = 0.25
    """Chance of a floor, uniform below the target: assumption (seen in SAELens issue 719)."""
    ln_elasticity: float | None = None
    """Mean of ln of the elasticity at the target, where other curves tell it."""
    ln_elasticity_sd: float = 0.3
    """Its sd."""


DEFAULT_SHAPE = ShapePrior()


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """A batch of curves; every array is [S]."""

    power: Array
    """p > 0."""
    headroom: Array
    """g > 0: ln(ceiling / target) of the part above the floor."""
    sharpness: Array
    """q > 0."""
    floor: Array
    """f in [0, 1), as a fraction of the target."""

    def ln_ratio(self, x: Array) -> Array:
        """Value y at x = ln(alpha / alpha*)."""
        q, g = self.sharpness, self.headroom
        above = g - np.logaddexp(0.0, _ln_expm1(q * g) + self.power * x) / q
        return np.logaddexp(_ln(self.floor), np.log1p(-self.floor) + above)

    def elasticity_at_target(self) -> Array:
        """Value of -dy/dx at x = 0: p (1 - exp(-q g)) / q, times the share above the floor."""
        q = self.sharpness
        return (1 - self.floor) * self.power * -np.expm1(-q * self.headroom) / q


def _ln(x: Array) -> Array:
    return np.log(np.maximum(x, 1e-300))


def _ln_expm1(z: Array) -> Array:
    """ln(exp(z) - 1) for z > 0, without overflow."""
    return z + np.log(-np.expm1(-z))


@lru_cache(maxsize=8)
def quasi_random(count: int, dimensions: int) -> Array:
    """Evenly spread points of the unit cube, [count, dimensions] (the R sequence of M. Roberts).

    A sequence without a generator: the same points at every call.
    """
    root = 1.0
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    points: Array = (0.5 + np.outer(np.arange(1, count + 1), steps)) % 1.0
    points.setflags(write=False)
    return points


SHAPE_DIMENSIONS = 4
_LARGEST_FLOOR = 0.97
_LEAST_HEADROOM = 0.15


def decode(normal: Array, prior: ShapePrior, ln_width_over_target: float) -> Curves:
    """Curves of coordinates that are independent standard normals under the prior.

    Args:
        normal: [S, 4]: power, ceiling, sharpness, floor.
        prior: The beliefs.
        ln_width_over_target: ln(latent_dim / target count) >= 0.
    """
    power, ceiling, sharpness, floor = normal.T
    chance = prior.floor_probability
    share = (ndtr(floor) - 1 + chance) / chance if chance else np.zeros_like(floor)
    fraction = _LARGEST_FLOOR * np.maximum(share, 0.0)
    ln_ceiling = prior.ln_ceiling + ln_width_over_target + prior.ln_ceiling_sd * ceiling
    over_target = np.exp(np.maximum(ln_ceiling, _LEAST_HEADROOM))
    return Curves(
        power=np.exp(prior.ln_power + prior.ln_power_sd * power),
        headroom=np.log((over_target - fraction) / (1 - fraction)),
        sharpness=np.exp(prior.ln_sharpness + prior.ln_sharpness_sd * sharpness),
        floor=fraction,
    )
