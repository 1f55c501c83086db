"""The variance of held-out activations, which every fraction of variance is one of.

Shape letters: B tokens of a batch, D d_in.
"""

import math

import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.device import widest_float
from sae.errors import SaeError

ROUNDING = 1e-6
"""Part of a float32 sum of squares that says nothing."""
TOKENS_AT_ONCE = 2048


def power_of_two_near(scale: float) -> float:
    """What brings numbers near canonical units, so that squares stay in float32's range.

    A power of two, which rounds nothing.
    """
    return 2.0 ** round(math.log2(scale))


class CentredMoments:
    """Sum of squared distances from the mean, in one pass over data that is nearly centred."""

    def __init__(self, d_in: int, device: torch.device) -> None:
        self._sum_D = torch.zeros(d_in, dtype=widest_float(device), device=device)
        self._squares = 0.0
        self._tokens = 0

    def add(self, x_BD: Tensor) -> None:
        """Counts the rows of `x_BD` in."""
        self._sum_D += x_BD.sum(0)
        self._squares += float(x_BD.square().sum())
        self._tokens += x_BD.shape[0]

    def total_variance(self) -> float:
        """The sum over tokens of ||x - mean x||^2; 0 where it is rounding."""
        variance = self._squares - float(self._sum_D.square().sum()) / self._tokens
        return 0.0 if variance < ROUNDING * self._squares else variance

    def require_variance(self, name: str) -> float:
        """The same, which must not be zero.

        Args:
            name: Of the activations.

        Raises:
            SaeError: The tokens are all alike, so that there is no fraction of their variance.
        """
        variance = self.total_variance()
        if variance == 0:
            raise SaeError(
                f"the {self._tokens} held-out tokens of {name} must have a variance, but got 0."
            )
        return variance


def require_measurable(store: ActivationStore, max_tokens: int) -> None:
    """Refuses held-out tokens that a trained SAE could not be measured on, before it is trained.

    Args:
        store: The activations.
        max_tokens: How many tokens are measured.

    Raises:
        SaeError: A held-out activation is not finite, or all that are measured are alike.
    """
    unit, moments = power_of_two_near(store.scale), CentredMoments(store.d_in, torch.device("cpu"))
    is_varied, is_finite = False, True
    for raw_BD, _ in store.held_out_batches(TOKENS_AT_ONCE, max_tokens):
        is_finite = is_finite and math.isfinite(float(raw_BD.sum()))
        if not is_varied:  # one batch tells, as a rule
            moments.add((raw_BD - store.mean) * unit)
            is_varied = moments.total_variance() != 0
    if not is_finite:
        store.held_out.require_finite()
    moments.require_variance(store.name)
