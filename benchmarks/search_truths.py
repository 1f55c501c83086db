"""Curves L0(alpha) whose root is known: measured, closed-form, and drawn from a seed."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
from scipy.special import log_ndtr

DATA = Path(__file__).parents[1] / "tests" / "data"
MEASURED = ("l0_curves_minilm_layer3.csv", "l0_curve_saelens_719.csv")
TARGETS = (0.02, 0.05, 32.0)
"""Below 1 a fraction of the latents, from 1 on a count."""
CLOSED_FORM_WIDTH = 2048
"""Width of the closed-form curves: 2 % of it (41 latents) is above the floor of 26."""
CEILING = 0.4
"""L0 over latents as alpha -> 0, for stretched exponential and Hill."""
GUIDE_CEILING = 0.0731
"""Of the exponential: the only one with a stated source, the guide's 0.0731 exp(-3.86 alpha)."""
FLOOR = 26.0

LnL0 = Callable[[float], float]
"""ln alpha -> ln L0, both up to a constant shift of ln alpha."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """A curve, a target, and the alpha that gives it."""

    name: str
    latent_dim: int
    target: float
    ln_l0: LnL0
    root: float


def all_truths(seed: int, drawn: int = 20) -> list[Truth]:
    """Measured, closed-form, then `drawn` random ones from `seed`."""
    return [*measured(), *closed_form(), *random_truths(seed, drawn)]


def measured() -> Iterator[Truth]:
    """Every measured curve at every target."""
    for file in MEASURED:
        with (DATA / file).open() as stream:
            rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
        for width in sorted({int(row["latent_dim"]) for row in rows}):
            points = [
                (log(float(row["l1_alpha"])), log(float(row["l0"])))
                for row in rows
                if int(row["latent_dim"]) == width and float(row["l1_alpha"]) > 0
            ]
            name = "MiniLM" if "minilm" in file else "SAELens-719"
            yield from _at_targets(f"{name} {width}", width, interpolated(sorted(points)))


def closed_form() -> Iterator[Truth]:
    """Stretched exponentials, Hill's curves with and without floor, the guide's exponential."""
    ceiling = CEILING * CLOSED_FORM_WIDTH
    curves = {
        "stretched p=0.5": stretched(ceiling, 0.5),
        "stretched p=1": stretched(ceiling, 1.0),
        "exponential": stretched(GUIDE_CEILING * CLOSED_FORM_WIDTH, 1.0),
    }
    for slope in (1.0, 1.5, 2.5):
        curves[f"Hill {slope}"] = hill(ceiling, slope, 0.0)
        curves[f"Hill {slope} floor"] = hill(ceiling, slope, FLOOR)
    for name, curve in curves.items():
        yield from _at_targets(name, CLOSED_FORM_WIDTH, curve)


def random_truths(seed: int, count: int) -> Iterator[Truth]:
    """Curves of a random family, width, ceiling, slope, floor and target."""
    generator = np.random.default_rng(seed)
    for index in range(count):
        width = int(2 ** generator.uniform(9, 14))
        ceiling = width * generator.uniform(0.1, 0.6)
        target = (0.02 * width, 0.05 * width, 32.0)[generator.integers(3)]
        floor = target * generator.uniform(0.0, 0.9)
        family = str(generator.choice(["stretched", "Hill", "Hill floor", "lognormal"]))
        steepest = 1.2 if family == "stretched" else 2.5
        slope = float(np.exp(generator.uniform(log(0.4), log(steepest))))
        curve = {
            "stretched": stretched(ceiling, slope),
            "Hill": hill(ceiling, slope, 0.0),
            "Hill floor": hill(ceiling, slope, floor),
            "lognormal": lognormal(ceiling, slope),
        }[family]
        yield _truth(f"drawn {index} {family} {slope:.2f}", width, target, curve)


def stretched(ceiling: float, power: float) -> LnL0:
    """L0 = ceiling * exp(-alpha^power)."""
    return lambda u: log(ceiling) - float(np.exp(power * u))


def hill(ceiling: float, slope: float, floor: float) -> LnL0:
    """L0 = floor + (ceiling - floor) / (1 + alpha^slope)."""

    def curve(u: float) -> float:
        above = log(ceiling - floor) - float(np.logaddexp(0.0, slope * u))
        return above if floor == 0 else float(np.logaddexp(log(floor), above))

    return curve


def lognormal(ceiling: float, slope: float) -> LnL0:
    """L0 = ceiling * P(Z > slope * ln alpha): magnitudes are lognormal."""
    return lambda u: log(ceiling) + float(log_ndtr(-slope * u))


def interpolated(points: list[tuple[float, float]]) -> LnL0:
    """Straight lines in log-log; stretched exponentials beyond the ends.

    Beyond an end the elasticity goes on from the last segment's, growing (or shrinking) per unit
    of ln alpha as it did between the last two segments, the rate kept within [0.1, 2].
    """
    u, y = (np.array(column) for column in zip(*points, strict=True))
    elasticity = -np.diff(y) / np.diff(u)
    middle = 0.5 * (u[1:] + u[:-1])
    rates = np.clip(np.diff(np.log(elasticity)) / np.diff(middle), 0.1, 2.0)

    def curve(x: float) -> float:
        if u[0] <= x <= u[-1]:
            return float(np.interp(x, u, y))
        end = 0 if x < u[0] else -1
        growth = np.expm1(rates[end] * (x - u[end])) / rates[end]
        return float(y[end] - elasticity[end] * growth)

    return curve


def bisect(decreasing: LnL0, low: float, high: float) -> float:
    """The zero of a decreasing function, to the last bits."""
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if decreasing(middle) > 0 else (low, middle)
    return low


def _at_targets(name: str, width: int, curve: LnL0) -> Iterator[Truth]:
    for target in TARGETS:
        label = f"{target:.0%}" if target < 1 else f"{target:.0f} latents"
        count = target * width if target < 1 else target
        yield _truth(f"{name}, {label}", width, count, curve)


def _truth(name: str, width: int, target: float, curve: LnL0) -> Truth:

    def miss(u: float) -> float:
        return curve(u) - log(target)

    root = bisect(miss, -40.0, 40.0)
    return Truth(name=name, latent_dim=width, target=target, ln_l0=curve, root=root)
