"""Clipping the gradient: against torch.nn.utils, and inside a training step."""

import pytest
import torch
from torch import Tensor

from sae.derived import Derived
from sae.errors import SaeError
from sae.gradient_clip import SQUARES, clip_divisor
from sae.trainer_config import TrainerConfig


def _gradients() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    shapes = {"W_dec": (7, 5), "W_enc": (5, 7), "b_enc": (7,), "scalar": ()}
    return {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}


@pytest.mark.parametrize("longest", [0.01, 1.0, 5.0, 1e6])
def test_clip_divisor_any_limit_agrees_with_torch(longest: float) -> None:
    ours = _gradients()
    parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in ours.values()]
    for parameter, gradient in zip(parameters, ours.values(), strict=True):
        parameter.grad = gradient.clone()
    divisor = clip_divisor(ours, longest)
    torch.nn.utils.clip_grad_norm_(parameters, longest)
    for parameter, gradient in zip(parameters, ours.values(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(gradient / divisor, parameter.grad, rtol=1e-6, atol=0)


def test_clip_divisor_of_a_short_gradient_is_one() -> None:
    assert float(clip_divisor(_gradients(), 1e6)) == 1


def test_clip_divisor_takes_the_squares_that_a_step_has_left_until_a_gradient_changes() -> None:
    gradients, derived = _gradients(), Derived()
    matrices = gradients["W_dec"], gradients["W_enc"]
    squares_F = matrices[0].square().sum(1) + matrices[1].square().sum(0)
    derived.keep(SQUARES, squares_F, *matrices)
    torch.testing.assert_close(
        clip_divisor(gradients, 0.1, derived), clip_divisor(gradients, 0.1), rtol=1e-6, atol=0
    )
    derived.keep(SQUARES, 4 * squares_F, *matrices)
    assert clip_divisor(gradients, 0.1, derived) > 1.5 * clip_divisor(gradients, 0.1)
    gradients["W_enc"].t()[0] += 1
    assert clip_divisor(gradients, 0.1, derived) == clip_divisor(gradients, 0.1)


def test_clip_divisor_of_a_zero_gradient_is_one() -> None:
    assert float(clip_divisor({"b_enc": torch.zeros(3)}, 1.0)) == 1


def test_trainer_config_gradient_clip_not_positive_is_refused() -> None:
    with pytest.raises(SaeError, match=r"trainer\.gradient_clip must be positive, but got 0\."):
        TrainerConfig(gradient_clip=0)
