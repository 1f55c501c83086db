"""The constants of `sweeper.search.alpha_rule`, fitted to measured curves of L0 over alpha."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sweeper.search.alpha_rule import REFERENCE_WIDTH, AlphaRule, Situation

TARGET_FRACTIONS = (0.02, 0.05, 0.1)
TARGET_COUNTS = (8, 16, 32, 64, 128, 256)
CONSTANTS = 4
"""That are fitted to the alphas: constant, width, budget and its decay."""
FLATTENING_WIDTH_POWERS = (0.0, 0.5)
START = (1.0, 0.14)
"""Elasticity and flattening, or steepening, that their fit starts from."""
DECAYS = [number / 100 for number in range(151)]
"""Of the budget's exponent, tried one after another."""


@dataclass(frozen=True, slots=True)
class Met:
    """A target that a measured curve meets."""

    situation: Situation
    """Where."""
    ln_alpha: float
    """By which alpha."""


def at_target(curve: pd.DataFrame, target: float) -> tuple[float, float] | None:
    """Alpha and fvu where the curve meets the target, both log-linear between neighbours."""
    ordered = curve.sort_values("l0")
    if len(ordered) < 2 or not ordered.l0.iloc[0] <= target <= ordered.l0.iloc[-1]:
        return None
    at = math.log(target)
    log_l0 = np.log(ordered.l0)
    alpha = math.exp(float(np.interp(at, log_l0, np.log(ordered.l1_alpha))))
    fvu = math.exp(float(np.interp(at, log_l0, np.log(ordered.fvu))))
    return alpha, fvu


def met_targets(group: pd.DataFrame) -> list[Met]:
    """Every target that a curve meets."""
    found: list[Met] = []
    for _, curve in group.groupby(["latent_dim", "total_steps"]):
        first = curve.iloc[0]
        width = int(first["latent_dim"])
        for target in (*TARGET_COUNTS, *(fraction * width for fraction in TARGET_FRACTIONS)):
            met = at_target(curve, target)
            if met is None:
                continue
            situation = Situation(
                d_in=int(first["d_in"]),
                latent_dim=width,
                target_count=target,
                learning_rate=float(first["learning_rate"]),
                total_steps=int(first["total_steps"]),
            )
            found.append(Met(situation, math.log(met[0])))
    return found


def best_rule(met: Sequence[Met], start: AlphaRule) -> AlphaRule:
    """The rule of this steepness, its other constants by least squares in ln effective alpha."""
    rules = [_fit(met, replace(start, budget_decay=decay))[0] for decay in DECAYS]
    return min(rules, key=lambda rule: spread_about(met, rule))


def _fit(
    met: Sequence[Met], rule: AlphaRule, *, is_target_free: bool = False
) -> tuple[AlphaRule, float]:
    """Constant, powers of width and budget; where it is free, what the target's power lacks."""
    unit = replace(rule, constant=1.0, width_power=0.0, budget_exponent=1.0)
    still = replace(unit, budget_exponent=0.0)
    terms = np.array(
        [
            [
                1.0,
                math.log(each.situation.latent_dim / REFERENCE_WIDTH),
                unit.ln_effective_for(each.situation) - still.ln_effective_for(each.situation),
                math.log(each.situation.d_in / each.situation.target_count),
            ][: 4 if is_target_free else 3]
            for each in met
        ]
    )
    wanted = [
        rule.ln_effective(each.ln_alpha, each.situation.latent_dim, each.situation.exposure)
        - still.ln_effective_for(each.situation)
        for each in met
    ]
    solution, *_ = np.linalg.lstsq(terms, np.array(wanted), rcond=None)
    found = [float(value) for value in solution]
    fitted = replace(
        rule, constant=math.exp(found[0]), width_power=found[1], budget_exponent=found[2]
    )
    return fitted, found[3] if is_target_free else 0.0


def free_power(met: Sequence[Met], rule: AlphaRule) -> tuple[float, float]:
    """The target's power where it is not tied to the elasticity, and the spread that is left."""
    fitted, lacking = _fit(met, rule, is_target_free=True)
    power = 1 / rule.elasticity + lacking
    return power, spread_about(met, fitted, lacking)


def spread_about(met: Sequence[Met], rule: AlphaRule, lacking: float = 0.0) -> float:
    """Sd of ln alpha about the rule, whose constants were fitted to the same points."""
    errors: list[float] = []
    for each in met:
        more = lacking * math.log(each.situation.d_in / each.situation.target_count)
        effective = rule.ln_effective_for(each.situation) + more
        here = (each.situation.latent_dim, each.situation.exposure)
        errors.append(each.ln_alpha - rule.ln_alpha_of(effective, *here))
    return float(np.std(errors, ddof=CONSTANTS))


def best_steepness(group: pd.DataFrame) -> tuple[AlphaRule, float]:
    """The rule whose curves err least in their slope, and the sd of ln of that.

    It is flatter at large alpha, by a power of the width that is none or a root, or steeper.
    """
    flatter = [
        _steepness(group, partial(_flatter, power=power)) for power in FLATTENING_WIDTH_POWERS
    ]
    return min([*flatter, _steepness(group, _steeper)], key=lambda fit: fit[1])


def _flatter(elasticity: float, flattening: float, *, power: float) -> AlphaRule:
    return AlphaRule(
        name="", elasticity=elasticity, flattening=flattening, flattening_width_power=power
    )


def _steeper(elasticity: float, steepening: float) -> AlphaRule:
    return AlphaRule(name="", elasticity=elasticity, steepening=steepening)


def _steepness(
    group: pd.DataFrame, rule_of: Callable[[float, float], AlphaRule]
) -> tuple[AlphaRule, float]:
    """The rule of the two numbers that tell -d ln L0 / d ln alpha best, and its residual sd.

    Least squares of its log between neighbouring runs of every curve.
    """
    places: list[tuple[float, int, float]] = []
    seen: list[float] = []
    for _, curve in group.groupby(["latent_dim", "total_steps"]):
        ordered = curve.sort_values("l1_alpha")
        ln_alpha = np.log(ordered.l1_alpha.to_numpy())
        ln_l0 = np.log(ordered.l0.to_numpy())
        exposure = float((ordered.learning_rate * ordered.total_steps).iloc[0])
        width = int(ordered.latent_dim.iloc[0])
        middles = 0.5 * (ln_alpha[1:] + ln_alpha[:-1])
        places.extend((float(middle), width, exposure) for middle in middles)
        seen.extend(np.log(-np.diff(ln_l0) / np.diff(ln_alpha)))

    def residual(parameters: NDArray[np.float64]) -> list[float]:
        rule = rule_of(*map(float, np.exp(parameters)))
        told = [rule.shape(*place).ln_elasticity or 0.0 for place in places]
        return [one - other for one, other in zip(told, seen, strict=True)]

    fit = least_squares(residual, np.log(START))
    return rule_of(*map(float, np.exp(fit.x))), float(np.std(fit.fun))
