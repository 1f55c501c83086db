"""Keeps the strongest latents of each token, or of a whole batch, and zeroes the others.

Strength is (z + bias) * norm. Of latents that are equally strong, all are kept. Shape letters:
B batch, F latent_dim.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sae.kernels import selection
from sae.kernels.launching import Table
from sae.kernels.token_thresholds import token_thresholds

LARGEST = torch.finfo(torch.float32).max
MOST_COUNTS = 60
"""Passes over the latents in the search for a batch's threshold; about ten are enough, unless
latents are equally strong."""
SLACK = 1e-4
"""How far from the number wanted a batch's may be: in bfloat16 a few are equally strong."""


def keep_of_tokens(
    table: Table, z_FB: Tensor, bias_F: Tensor, norms_F: Tensor, wanted: int
) -> tuple[Tensor, Tensor]:
    """Turns `z_FB` into z + bias where that is positive and among its token's strongest, else 0.

    Args:
        table: Of the latents' precision and sizes.
        z_FB: Pre-activations, contiguous; overwritten.
        bias_F: What they lack.
        norms_F: What makes them strengths.
        wanted: How many of each token are kept.

    Returns:
        On how many tokens each latent is above zero, and its sum over them, float32 [F].
    """
    firings_F, sums_F = torch.empty_like(norms_F), torch.empty_like(norms_F)
    given = {"latents": z_FB, "bias": bias_F, "norms": norms_F}
    given["thresholds"] = torch.empty(z_FB.shape[1])
    table.run(token_thresholds, **given, wanted=wanted)
    table.run(selection.keep_strong, **given, firings=firings_F, sums=sums_F)
    return firings_F, sums_F


def batch_threshold(
    table: Table, z_FB: Tensor, bias_F: Tensor, norms_F: Tensor, wanted: int
) -> tuple[float, float]:
    """A strength that `wanted` latents of all tokens together exceed; 0 where too few do.

    The logarithm of their number is nearly linear in the strength, so that few guesses along a
    straight line suffice.

    Args:
        table: Of the latents' precision and sizes.
        z_FB: Pre-activations, contiguous.
        bias_F: What they lack.
        norms_F: What makes them strengths.
        wanted: How many.

    Returns:
        That strength, and the smallest above it (infinite where there is none).
    """
    limits_F, counts_F = torch.empty_like(norms_F), torch.empty_like(norms_F)
    given = {"latents": z_FB, "bias": bias_F, "limits": limits_F}

    def excess(threshold: float) -> float:
        """ln(latents above / wanted), zero where that is near enough."""
        torch.div(threshold, norms_F, out=limits_F)
        table.run(selection.count_above, **given, firings=counts_F)
        count = float(counts_F.sum(dtype=torch.float64))
        if abs(count - wanted) <= SLACK * wanted:
            return 0.0
        return math.log(max(count, 0.5) / wanted)  # half a latent in place of none: finite

    threshold = _falling_root(excess, float(norms_F.mean()))
    torch.div(threshold, norms_F, out=limits_F)
    table.run(selection.least_above, **given, smallest=counts_F)
    return threshold, float((counts_F * norms_F).min())


def _falling_root(function: Callable[[float], float], guess: float) -> float:
    """Where a falling function is zero; 0 where it is nowhere above zero, infinite where always.

    The Illinois variant of regula falsi: an end that stays twice counts half.

    Args:
        function: Of a number that is not negative.
        guess: A positive number of the root's order.
    """
    low, above = 0.0, function(0.0)
    if above <= 0:
        return low
    high, below = guess, function(guess)
    while below > 0:
        if not high <= LARGEST:  # only NaN is above
            return math.inf
        low, above, high = high, below, 2 * high
        below = function(high)
    last = 0.0
    for _ in range(MOST_COUNTS):
        middle = low + above / (above - below) * (high - low)
        if below == 0 or not low < middle < high:
            break
        found = function(middle)
        if found > 0:
            low, above, below = middle, found, below / 2 if last > 0 else below
        else:
            high, below, above = middle, found, above / 2 if last < 0 else above
        last = found
    return high if below == 0 else low
