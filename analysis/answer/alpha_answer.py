"""What is said of alpha for one width and one target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    """Lower end of its 95 % interval; None where the runs allow none."""
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
