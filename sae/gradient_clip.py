"""Limits the length of a step's gradient."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sae.deferred_gradient import DeferredGradient
from sae.derived import Derived

SMALLEST_NORM = 1e-6
"""Added to the norm, so that a gradient of zero stays one (as torch.nn.utils does)."""
SQUARES = "squares of W_dec's and W_enc's gradients"
"""What a step may leave in the workspace: their sums, in parts."""


def clip_divisor(
    gradients: Mapping[str, Tensor],
    longest: float,
    derived: Derived | None = None,
    deferred: Mapping[str, DeferredGradient] | None = None,
) -> Tensor:
    """What all gradients are divided by, so that their norm together is at most `longest`.

    Pascanu, Mikolov and Bengio (2013). Nothing waits for the device.

    Args:
        gradients: The gradients of one model, by name.
        longest: The norm that is not exceeded.
        derived: Where the step that wrote them may have left `SQUARES`.
        deferred: Gradients by their names that stand for those in `gradients`.

    Returns:
        A scalar, at least one.
    """
    norm = _norm(gradients, derived, deferred or {})
    return norm.add_(SMALLEST_NORM).div_(longest).clamp_(min=1.0)


def _norm(
    gradients: Mapping[str, Tensor],
    derived: Derived | None,
    deferred: Mapping[str, DeferredGradient],
) -> Tensor:
    if deferred:
        others = [value for name, value in gradients.items() if name not in deferred]
        squares = [gradient.squared_norm() for gradient in deferred.values()]
        return (torch.nn.utils.get_total_norm(others).square() + sum(squares)).sqrt()
    squares = None
    if derived is not None:
        squares = derived.get(SQUARES, gradients["W_dec"], gradients["W_enc"])
    if squares is None:
        return torch.nn.utils.get_total_norm(gradients.values())
    total = squares.sum()
    for name, value in gradients.items():
        if name not in ("W_dec", "W_enc"):
            total += value.square().sum()
    return total.sqrt_()
