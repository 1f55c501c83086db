"""The family of curves L0(alpha) that the search believes in, and a sample of its prior.

L0(alpha) is the survival function of code magnitudes (soft thresholding), so the family is that
of the Burr XII distribution: the stretched exponential (sharpness -> 0) and Hill's curve
(sharpness 1) are members, and an optional floor of latents that no alpha switches off is added.

With y = ln(L0 / target), x = ln(alpha / alpha*), headroom g, elasticity e and sharpness q:

    y(x) = g - ln(1 + (exp(q g) - 1) exp(p x)) / q,    p = e q / (1 - exp(-q g))

so that y(0) = 0 and y'(0) = -e; with a floor f (a fraction of the target) the part above it
follows this curve: exp(y) = f + (1 - f) exp(y_above).

Shapes: every array of a `Curves` is [K], one entry a curve; `x` and `y` broadcast against it.
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

    ln_elasticity: float = log(1.5)
    """Mean of ln e. Measured -0.1 (dense end) to -2.9 (sparse end); sqrt(d_in / K) says -2."""
    ln_elasticity_sd: float = 0.5
    """Its sd."""
    ln_ceiling: float = log(0.4)
    """Mean of ln(L0 as alpha -> 0, over latent_dim): a fresh ReLU encoder has half of them on."""
    ln_ceiling_sd: float = 0.5
    """Its sd."""
    ln_sharpness: float = log(0.3)
    """Mean of ln q, between the stretched exponential (0) and Hill's curve (1): assumption."""
    ln_sharpness_sd: float = 1.0
    """Its sd."""
    floor_probability: float = 0.25
    """Chance of a floor, uniform below the target: assumption (seen in SAELens issue 719)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """A batch of curves."""

    elasticity: Array
    """e > 0 of the part above the floor, at the target."""
    headroom: Array
    """g > 0: ln(ceiling / target) of the part above the floor."""
    sharpness: Array
    """q > 0."""
    floor: Array
    """f in [0, 1), as a fraction of the target."""

    @property
    def _steepness(self) -> Array:
        return self.elasticity * self.sharpness / -np.expm1(-self.sharpness * self.headroom)

    def ln_ratio(self, x: Array) -> Array:
        """y at x = ln(alpha / alpha*)."""
        q, g = self.sharpness, self.headroom
        above = g - np.logaddexp(0.0, _ln_expm1(q * g) + self._steepness * x) / q
        return np.logaddexp(_ln(self.floor), np.log1p(-self.floor) + above)

    def offset(self, y: Array) -> Array:
        """x at which the curve reaches y; y outside the curve's range is first moved into it."""
        q, g = self.sharpness, self.headroom
        above = self._above(y)
        return (_ln_expm1(q * (g - above)) - _ln_expm1(q * g)) / self._steepness

    def reachable(self, y: Array) -> Array:
        """The value nearest to y that `offset` can invert."""
        return np.logaddexp(_ln(self.floor), np.log1p(-self.floor) + self._above(y))

    def slope(self, y: Array) -> Array:
        """-dy/dx > 0 where the curve has the (reachable) value y."""
        above = self._above(y)
        rate = self._steepness / self.sharpness
        local = rate * -np.expm1(-self.sharpness * (self.headroom - above))
        share = np.exp(np.log1p(-self.floor) + above - self.reachable(y))
        return local * share

    def slope_at_target(self) -> Array:
        """-dy/dx at y = 0."""
        return (1 - self.floor) * self.elasticity

    def take(self, index: NDArray[np.intp]) -> "Curves":
        """The curves at these places."""
        return Curves(
            elasticity=self.elasticity[index],
            headroom=self.headroom[index],
            sharpness=self.sharpness[index],
            floor=self.floor[index],
        )

    def _above(self, y: Array) -> Array:
        """ln of the part above the floor over its value at the target."""
        share = np.maximum(-np.expm1(_ln(self.floor) - y), _EDGE)
        above = y + np.log(share) - np.log1p(-self.floor)
        return np.minimum(above, self.headroom * (1 - _EDGE))


_EDGE = 0.02
"""How near to its floor or ceiling, relatively, a curve is still inverted."""


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


def decode(normal: Array, prior: ShapePrior, ln_width_over_target: float) -> Curves:
    """Curves of standard normal coordinates [S, 4]."""
    elasticity, headroom, sharpness, floor = normal.T
    probability = prior.floor_probability
    f = 0.97 * np.maximum(0.0, 1 - ndtr(-floor) / probability) if probability else 0 * floor
    f = 0.97 * np.maximum(0.0, (ndtr(floor) - 1 + probability) / probability)
    g = prior.ln_ceiling + ln_width_over_target + prior.ln_ceiling_sd * headroom
    ceiling = np.exp(np.maximum(g, 0.15))
    return Curves(
        elasticity=np.exp(prior.ln_elasticity + prior.ln_elasticity_sd * elasticity),
        headroom=np.log((ceiling - f) / (1 - f)),
        sharpness=np.exp(prior.ln_sharpness + prior.ln_sharpness_sd * sharpness),
        floor=f,
    )
