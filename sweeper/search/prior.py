"""Where alpha is expected before a cell has run anything: named components, mixed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite, log

from sweeper.errors import SweepError
from sweeper.search.alpha_rule import AlphaRule, Situation

GUIDE_WIDTHS = (32768, 131072)
"""Widths between which the guide's law may speak at all."""
GUIDE_MAX_WEIGHT = 0.05
"""Its largest share: it was read off one pair of runs, one of them off target."""
GUIDE_SD = 0.7
"""sd of ln alpha about the guide's law: assumption."""
BROAD_WEIGHT = 0.35
"""Weight of the component that doubts all others: assumption."""
BROAD_SD = log(10)
"""Its sd: an order of magnitude either way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorComponent:
    """One opinion: ln of the canonical alpha at the target is about `mean`, give or take `sd`."""

    name: str
    """Shown in `prior_weights`: measured, theory, guide, file, study, ..."""
    mean: float
    """Mean of ln alpha_canonical."""
    sd: float
    """Its sd."""
    weight: float = 1.0
    """Prior weight, relative to the other components'."""

    def __post_init__(self) -> None:
        """Refuses numbers that are no belief.

        Raises:
            SweepError: mean not finite, sd not positive, or weight negative.
        """
        if not isfinite(self.mean):
            raise SweepError(f"prior.{self.name}.mean must be finite, but got {self.mean}.")
        if not (isfinite(self.sd) and self.sd > 0):
            raise SweepError(f"prior.{self.name}.sd must be positive, but got {self.sd}.")
        if not (isfinite(self.weight) and self.weight >= 0):
            raise SweepError(
                f"prior.{self.name}.weight must be zero or more, but got {self.weight}."
            )


def rule_component(rule: AlphaRule, situation: Situation) -> PriorComponent:
    """What a rule, the theory or a measured one, says of a situation."""
    return PriorComponent(name=rule.name, mean=rule.ln_alpha(situation), sd=rule.sd_at(situation))


def guide_component(latent_dim: int) -> PriorComponent:
    """The guide's 0.10 * (latent_dim / 65536)^6.64, taken as canonical alpha (assumption).

    Its weight is 5 % between widths 32768 and 131072 and zero elsewhere; `mixture` lets it be
    heavier only where it is the sole component (prior=guide).

    Args:
        latent_dim: Width.

    Raises:
        SweepError: `latent_dim` is not positive.
    """
    if latent_dim <= 0:
        raise SweepError(f"sae.latent_dim must be positive, but got {latent_dim}.")
    mean = log(0.10) + 6.64 * log(latent_dim / 65536)
    inside = GUIDE_WIDTHS[0] <= latent_dim <= GUIDE_WIDTHS[1]
    weight = GUIDE_MAX_WEIGHT if inside else 0.0
    return PriorComponent(name="guide", mean=mean, sd=GUIDE_SD, weight=weight)


def file_component(mean: float, sd: float) -> PriorComponent:
    """A law file's prediction; the caller widens `sd` for another recipe or other activations."""
    return PriorComponent(name="file", mean=mean, sd=sd)


def mixture(components: Iterable[PriorComponent], widening: float = 1.0) -> list[PriorComponent]:
    """The components with weights that sum to one, those of weight zero left out, and `broad`.

    The guide never gets more than 5 % beside another component. `broad` stands for all of them
    being wrong: about the heaviest one's mean, an order of magnitude either way.

    Args:
        components: At least one of positive weight.
        widening: Factor on every sd.

    Raises:
        SweepError: No component has a positive weight, or two have one name.
    """
    kept = [component for component in components if component.weight > 0]
    if not kept:
        raise SweepError("prior must have a component of positive weight, but got none.")
    names = [component.name for component in kept]
    if len(set(names)) < len(names):
        raise SweepError(f"prior components must have different names, but got {names}.")
    others = sum(component.weight for component in kept if component.name != "guide")
    allowed = others * GUIDE_MAX_WEIGHT / (1 - GUIDE_MAX_WEIGHT)
    weights = [
        min(component.weight, allowed)
        if component.name == "guide" and others
        else component.weight
        for component in kept
    ]
    share = (1 - BROAD_WEIGHT) / sum(weights)
    scaled = [
        replace(component, weight=weight * share, sd=component.sd * widening)
        for component, weight in zip(kept, weights, strict=True)
    ]
    centre = heaviest(scaled)
    sd = max(BROAD_SD, 2 * centre.sd)
    return [
        *scaled,
        PriorComponent(name="broad", mean=centre.mean, sd=sd, weight=BROAD_WEIGHT),
    ]


def heaviest(components: Iterable[PriorComponent]) -> PriorComponent:
    """The component of the largest weight, the first of equals."""
    return max(components, key=lambda component: component.weight)
