"""The units in which everything trains.

Shapes: B rows of a batch, D = d_in.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CanonicalUnits:
    """(raw - mean) * scale."""

    mean: Tensor
    """Mean raw activation, float32 [d_in]."""
    scale: float
    """sqrt(d_in / E||raw - mean||^2)."""

    def convert(self, raw_BD: Tensor) -> Tensor:
        """Overwrites raw activations [batch, d_in] with canonical ones, and returns them."""
        return raw_BD.sub_(self.mean).mul_(self.scale)
