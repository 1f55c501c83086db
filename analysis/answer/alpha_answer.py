"""What is said of alpha for one width and one target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LARGEST_LOG_SPAN = math.log(1e4)
_DECADE = math.log(10)


def known_bounds(log_low: float, log_high: float) -> tuple[float | None, float | None, list[str]]:
    """The ends of an interval of alpha, and a note in their place where they would say nothing.

    An alpha that may be a hundred times smaller or larger is not bounded by the data: where such
    an interval ends is the doing of assumptions.

    Args:
        log_low: ln of the lower end.
        log_high: ln of the upper end.
    """
    span = log_high - log_low
    if span <= _LARGEST_LOG_SPAN:
        return math.exp(log_low), math.exp(log_high), []
    note = (
        f"the runs do not bound alpha here: its interval would span {span / _DECADE:.0f} decades"
    )
    return None, None, [note]


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaAnswer:
    """Alpha for one width and one target, and how it is known."""

    latent_dim: int
    """Width."""
    target_count: float
    """The target in latents."""
    alpha: float
    """In `units`."""
    low: float | None
    """Lower end of its 95 % interval; None where the runs allow none, or do not bound it."""
    high: float | None
    """Upper end of it."""
    units: str
    """A convention's name; `canonical` and `as_given` as in `analysis.records.Units`."""
    basis: str
    """What it rests on, in words."""
    status: str
    """law or provisional."""
    recipe: Mapping[str, Any]
    """What it holds for; null for what the runs do not say."""
    notes: tuple[str, ...]
    """What a reader must know."""
