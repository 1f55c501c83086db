"""What is kept about a set of activations: its mean and its scales.

Shapes: B rows of a block, D = d_in.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.errors import SaeError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ActivationStatistics:
    """Moments of the training tokens, in raw units."""

    tokens: int
    """Tokens they were taken over."""
    mean: Tensor
    """Mean activation, float64 [d_in]."""
    centred_rms_norm: float
    """sqrt(E||x - mean||^2), which is also the norm of the standard deviation vector."""
    raw_mean_norm: float
    """E||x||: what SAELens scales by."""
    raw_rms_norm: float
    """sqrt(E||x||^2)."""

    @property
    def d_in(self) -> int:
        """Dimensions of an activation."""
        return self.mean.shape[0]

    @property
    def scale(self) -> float:
        """Factor that brings the mean of ||x - mean||^2 to d_in."""
        return math.sqrt(self.d_in) / self.centred_rms_norm

    @property
    def raw_scale(self) -> float:
        """Factor that brings the mean of ||x||^2, without centring, to d_in."""
        return math.sqrt(self.d_in) / self.raw_rms_norm

    @property
    def gamma(self) -> float:
        """||mean|| / ||std||; large values foretell dead latents (arXiv 2605.31518)."""
        return float(self.mean.norm()) / self.centred_rms_norm


class StatisticsAccumulator:
    """Takes rows block by block and keeps their moments in float64."""

    def __init__(self, d_in: int) -> None:
        self._tokens = 0
        self._mean_D = torch.zeros(d_in, dtype=torch.float64)
        self._centred_squares = 0.0
        self._norms = 0.0
        self._squares = 0.0

    def update(self, rows_BD: Tensor) -> None:
        """Adds a block of rows.

        Blocks are merged by the pairwise formula of Chan, Golub and LeVeque (1983): the plain
        E||x||^2 - ||mean||^2 loses digits where the mean is large against the spread.

        Args:
            rows_BD: Raw activations [n, d_in], any float type.
        """
        if rows_BD.shape[0] == 0:
            return
        rows_BD = rows_BD.double()
        block = rows_BD.shape[0]
        block_mean_D = rows_BD.mean(dim=0)
        total = self._tokens + block
        shift_D = block_mean_D - self._mean_D
        self._centred_squares += float((rows_BD - block_mean_D).square().sum())
        self._centred_squares += float(shift_D.square().sum()) * self._tokens * block / total
        self._mean_D += shift_D * (block / total)
        squares_B = rows_BD.square().sum(dim=1)
        self._squares += float(squares_B.sum())
        self._norms += float(squares_B.sqrt().sum())
        self._tokens = total

    def result(self, name: str = "activations") -> ActivationStatistics:
        """The moments of all rows so far.

        Args:
            name: What the message calls the rows.

        Raises:
            SaeError: There were no rows, or they are all the same.
        """
        if self._tokens == 0 or self._centred_squares == 0:
            raise SaeError(
                f"{name} must hold at least two different tokens, "
                f"but got {self._tokens} tokens without any spread."
            )
        return ActivationStatistics(
            tokens=self._tokens,
            mean=self._mean_D.clone(),
            centred_rms_norm=math.sqrt(self._centred_squares / self._tokens),
            raw_mean_norm=self._norms / self._tokens,
            raw_rms_norm=math.sqrt(self._squares / self._tokens),
        )
