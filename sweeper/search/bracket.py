"""The interval that holds the root for sure, and whether it shrinks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from sweeper.search.observations import Observation, Relation

SURE = 2.0
"""Noise sds by which a trial must miss the target to say on which side alpha* lies."""
PATIENCE = 3
"""Trials inside a bracket that may fail to halve it before it is bisected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bracket:
    """ln alpha of the nearest trials that were surely too dense (low) and too sparse (high)."""

    low: float | None
    """Largest alpha whose L0 is surely above the target; None: no such trial."""
    high: float | None
    """Smallest alpha whose L0 is surely below the target; None: no such trial."""

    @property
    def width(self) -> float | None:
        """In ln alpha; None: an end is unknown."""
        if self.low is None or self.high is None:
            return None
        return self.high - self.low

    @property
    def middle(self) -> float:
        """Half way between the ends, in ln alpha.

        Raises:
            ValueError: An end is unknown.
        """
        if self.low is None or self.high is None:
            raise ValueError(f"the bracket must have both ends, but got {self}.")
        return 0.5 * (self.low + self.high)


def side(observation: Observation, ln_target: float) -> int:
    """+1: surely too dense at this alpha; -1: surely too sparse; 0: it cannot be said."""
    y = observation.ln_l0 - ln_target
    if observation.relation is Relation.below:
        return -1 if y <= 0 else 0
    if observation.relation is Relation.above:
        return 1 if y >= 0 else 0
    if abs(y) <= SURE * observation.noise_sd:
        return 0
    return 1 if y > 0 else -1


def find_bracket(observations: Sequence[Observation], ln_target: float) -> Bracket:
    """The tightest bracket of the trials.

    Where trials contradict each other (a denser one at the larger alpha: noise, or a diverged
    run), the latest one is believed and those it contradicts are left out.
    """
    low: float | None = None
    high: float | None = None
    for observation in reversed(observations):
        where, u = side(observation, ln_target), observation.ln_alpha
        if where > 0 and (high is None or u < high):
            low = u if low is None else max(low, u)
        elif where < 0 and (low is None or u > low):
            high = u if high is None else min(high, u)
    return Bracket(low=low, high=high)


def stalled(observations: Sequence[Observation], ln_target: float) -> bool:
    """Whether the last `PATIENCE` trials halved neither a closed bracket nor the nearest miss.

    A bracket may keep a far end while the other one closes in; that is no stall. Nor is a nearest
    miss as small as the noise, which no bisection makes smaller.
    """
    if len(observations) <= PATIENCE:
        return False
    earlier = observations[:-PATIENCE]
    before, now = find_bracket(earlier, ln_target), find_bracket(observations, ln_target)
    if before.width is None or now.width is None or now.width <= 0.5 * before.width:
        return False
    noise = max(o.noise_sd for o in observations)
    miss = _nearest_miss(observations, ln_target)
    return miss > 2 * SURE * noise and miss > 0.5 * _nearest_miss(earlier, ln_target)


def _nearest_miss(observations: Sequence[Observation], ln_target: float) -> float:
    """Of those that say how far off they are; a bound does not."""
    misses = [abs(o.ln_l0 - ln_target) for o in observations if o.relation is Relation.equal]
    return min(misses, default=inf)
