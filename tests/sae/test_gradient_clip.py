"""Clipping the gradient: against torch.nn.utils, and inside a training step."""

import pytest
import torch
from torch import Tensor

from sae.errors import SaeError
from sae.gradient_clip import clip_divisor
from sae.trainer_config import TrainerConfig


def _gradients() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=random) for shape in ((7, 5), (5,), ())]


@pytest.mark.parametrize("longest", [0.01, 1.0, 5.0, 1e6])
def test_clip_divisor_any_limit_agrees_with_torch(longest: float) -> None:
    ours = _gradients()
    parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in ours]
    for parameter, gradient in zip(parameters, ours, strict=True):
        parameter.grad = gradient.clone()
    divisor = clip_divisor(ours, longest)
    torch.nn.utils.clip_grad_norm_(parameters, longest)
    for parameter, gradient in zip(parameters, ours, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(gradient / divisor, parameter.grad, rtol=1e-6, atol=0)


def test_clip_divisor_of_a_short_gradient_is_one() -> None:
    assert float(clip_divisor(_gradients(), 1e6)) == 1


def test_clip_divisor_of_a_zero_gradient_is_one() -> None:
    assert float(clip_divisor([torch.zeros(3)], 1.0)) == 1


def test_trainer_config_gradient_clip_not_positive_is_refused() -> None:
    with pytest.raises(SaeError, match=r"trainer\.gradient_clip must be positive, but got 0\."):
        TrainerConfig(gradient_clip=0)
