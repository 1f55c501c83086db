"""Limits the length of a step's gradient."""

from collections.abc import Collection

import torch
from torch import Tensor

SMALLEST_NORM = 1e-6
"""Added to the norm, so that a gradient of zero stays one (as torch.nn.utils does)."""


def clip_gradients(gradients: Collection[Tensor], longest: float) -> None:
    """Scales all gradients by one factor, so that their norm together is at most `longest`.

    Pascanu, Mikolov and Bengio (2013), on gradients that belong to no autograd graph. Nothing
    waits for the device.

    Args:
        gradients: The gradients of one model, changed in place.
        longest: The norm that is not exceeded.
    """
    norm = torch.nn.utils.get_total_norm(gradients)
    factor = (longest / (norm + SMALLEST_NORM)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
