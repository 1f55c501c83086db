"""The configuration of where alpha is expected; a job reads it, and loads no search."""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from sweeper.errors import SweepError


class PriorKind(StrEnum):
    """Which components speak."""

    mixture = "mixture"
    theory = "theory"
    guide = "guide"
    file = "file"


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorConfig:
    """The prior a sweep starts from."""

    kind: PriorKind = PriorKind.mixture
    """mixture of all, or a single component: theory, guide or file."""
    path: str | None = None
    """Law file; needed by kind file, and joins the mixture when given."""
    widening: float = 1.0
    """Factor on every component's sd, for activations unlike those of the prior's data."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            SweepError: kind file without a path, theory or guide with one, or a widening below 1.
        """
        if self.kind is PriorKind.file and not self.path:
            raise SweepError("prior.path must name a law file with prior=file, but got null.")
        if self.kind in (PriorKind.theory, PriorKind.guide) and self.path:
            raise SweepError(
                f"prior.path must be null with prior={self.kind}, which reads no law file, "
                f"but got {self.path!r}."
            )
        if not (isfinite(self.widening) and self.widening >= 1):
            raise SweepError(
                f"prior.widening must be finite and at least 1, but got {self.widening}."
            )
