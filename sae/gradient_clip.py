"""Limits the length of a step's gradient."""

from collections.abc import Collection

import torch
from torch import Tensor

SMALLEST_NORM = 1e-6
"""Added to the norm, so that a gradient of zero stays one (as torch.nn.utils does)."""


def clip_divisor(gradients: Collection[Tensor], longest: float) -> Tensor:
    """What all gradients are divided by, so that their norm together is at most `longest`.

    Pascanu, Mikolov and Bengio (2013). Nothing waits for the device.

    Args:
        gradients: The gradients of one model.
        longest: The norm that is not exceeded.

    Returns:
        A scalar, at least one.
    """
    norm = torch.nn.utils.get_total_norm(gradients)
    return ((norm + SMALLEST_NORM) / longest).clamp_(min=1.0)
