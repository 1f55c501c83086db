"""Several studies side by side: what alpha each needs for one target, and whether they agree."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from analysis.errors import AnalysisError
from analysis.mixture import Estimate
from analysis.refitting import refit
from analysis.results import Refit


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Two studies at one width, or their exponents."""

    first: str
    """One study."""
    second: str
    """The other."""
    latent_dim: int | None
    """The width at which alpha is compared; None for the exponent."""
    ratio: Estimate
    """Alpha of the second over that of the first; for exponents their difference."""

    @property
    def agree(self) -> bool:
        """Whether the interval holds no difference."""
        return self.ratio.contains(1.0 if self.latent_dim is not None else 0.0)

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "latent_dim": self.latent_dim,
            **self.ratio.to_json(),
            "agree": self.agree,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyDifferences:
    """Studies refitted for one target."""

    target_l0: float
    """The target."""
    studies: Mapping[str, Refit]
    """Each study's refit, of its largest group."""
    alphas: tuple[Difference, ...]
    """Alpha at every width that two studies share."""
    exponents: tuple[Difference, ...]
    """Exponents of every two studies that have one."""
    notes: tuple[str, ...]
    """What makes a comparison unfair: recipes that differ, units that are not canonical."""

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "target_l0": self.target_l0,
            "studies": {name: fit.to_json() for name, fit in self.studies.items()},
            "alphas": [each.to_json() for each in self.alphas],
            "exponents": [each.to_json() for each in self.exponents],
            "notes": list(self.notes),
        }


def study_differences(
    studies: Mapping[str, pd.DataFrame], *, target_l0: float
) -> StudyDifferences:
    """Refits several studies for one target and compares them pair by pair.

    Args:
        studies: Trial tables by name.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.

    Raises:
        AnalysisError: Fewer than two studies, or one that cannot be refitted.
    """
    if len(studies) < 2:
        raise AnalysisError(f"studies must be two or more, but got {len(studies)}.")
    fits = {name: refit(trials, target_l0=target_l0) for name, trials in studies.items()}
    alphas: list[Difference] = []
    exponents: list[Difference] = []
    for (first, one), (second, other) in combinations(fits.items(), 2):
        alphas += _alpha_differences(first, one, second, other)
        if one.exponent is not None and other.exponent is not None:
            difference = _difference(one.exponent.beta, other.exponent.beta)
            exponents.append(
                Difference(first=first, second=second, latent_dim=None, ratio=difference)
            )
    return StudyDifferences(
        target_l0=target_l0,
        studies=fits,
        alphas=tuple(alphas),
        exponents=tuple(exponents),
        notes=_notes(fits),
    )


def _alpha_differences(first: str, one: Refit, second: str, other: Refit) -> list[Difference]:
    found: list[Difference] = []
    for width in one.widths:
        match = other.width(width.latent_dim)
        if match is None or width.alpha_star is None or match.alpha_star is None:
            continue
        ratio = _difference(_log(width.alpha_star), _log(match.alpha_star)).exp()
        found.append(
            Difference(first=first, second=second, latent_dim=width.latent_dim, ratio=ratio)
        )
    return found


def _log(estimate: Estimate) -> Estimate:
    return Estimate(
        value=math.log(estimate.value), low=math.log(estimate.low), high=math.log(estimate.high)
    )


def _difference(one: Estimate, other: Estimate) -> Estimate:
    """Other minus one; the studies are independent, so half-widths add in squares."""
    value = other.value - one.value
    down = math.hypot(other.value - other.low, one.high - one.value)
    up = math.hypot(other.high - other.value, one.value - one.low)
    return Estimate(value=value, low=value - down, high=value + up)


def _notes(fits: Mapping[str, Refit]) -> tuple[str, ...]:
    notes: list[str] = []
    recipes = {fit.recipe.describe() for fit in fits.values()}
    if len(recipes) > 1:
        notes.append(
            "The studies differ in what a law belongs to: "
            + "; ".join(f"{name}: {fit.recipe.describe()}" for name, fit in fits.items())
        )
    return (*notes, *units_notes(fits))


def units_notes(fits: Mapping[str, Refit]) -> tuple[str, ...]:
    """Which studies' alphas are not in canonical units, if any."""
    foreign = [name for name, fit in fits.items() if fit.units != "canonical"]
    if not foreign:
        return ()
    return (f"alpha is in the file's own units, not canonical: {', '.join(foreign)}",)
