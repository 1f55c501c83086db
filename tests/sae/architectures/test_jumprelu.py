from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepSettings
from sae.architectures.config import (
    Architecture,
    JumpReluConfig,
    JumpReluPenalty,
    SaeConfig,
)

ALPHA, TARGET, BANDWIDTH = 0.7, 6.0, 0.2
MakeStep = Callable[..., Any]
PENALTIES = list(JumpReluPenalty)


class StraightThrough(torch.autograd.Function):
    """The unit step H(z - theta) with the rectangle's derivative with respect to theta."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor) -> Tensor:
        ctx.save_for_backward(z, theta)
        return (z > theta).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[None, Tensor]:
        z, theta = ctx.saved_tensors
        rectangle = (((z - theta) / BANDWIDTH).abs() < 0.5).to(z.dtype)
        return None, -(rectangle / BANDWIDTH * grad_outputs[0]).sum(0)


def heaviside(z: Tensor, theta: Tensor) -> Tensor:
    return StraightThrough.apply(z, theta)  # type: ignore[return-value]


def jump(z: Tensor, theta: Tensor) -> Tensor:
    """f with d f / d theta = -theta K / eps: the step's factor is theta, as z is there."""
    passed = z * (z > theta)
    step = heaviside(z.detach(), theta)
    return passed + theta.detach() * (step - step.detach())


def loss_with(penalty: JumpReluPenalty) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        z = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
        f = jump(z, weights["threshold"])
        x_hat = f @ weights["W_dec"] + weights["b_dec"]
        l0 = heaviside(z.detach(), weights["threshold"]).sum(1).mean()
        norms = weights["W_dec"].norm(dim=1)
        terms = {
            JumpReluPenalty.l0: l0,
            JumpReluPenalty.quadratic: (l0 / TARGET - 1).square(),
            JumpReluPenalty.tanh: torch.tanh(4 * f * norms).sum(1).mean(),
        }
        return (x - x_hat).square().sum(1).mean() + ALPHA * terms[penalty]

    return loss


def config(penalty: JumpReluPenalty) -> SaeConfig:
    jumprelu = JumpReluConfig(penalty=penalty, bandwidth=BANDWIDTH, initial_threshold=0.1)
    return SaeConfig(architecture=Architecture.jumprelu, latent_dim=40, jumprelu=jumprelu)


SETTINGS = StepSettings(alpha=ALPHA, target_l0=TARGET)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradient_in_fp32_agrees_with_float64_straight_through(
    make_step: MakeStep, penalty: JumpReluPenalty
) -> None:
    errors = make_step(config(penalty)).gradient_errors(SETTINGS, loss_with(penalty))
    assert set(errors) == {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"}
    assert max(errors.values()) < 1e-6


@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradient_in_bf16_is_close_to_float64_straight_through(
    make_step: MakeStep, penalty: JumpReluPenalty
) -> None:
    step = make_step(config(penalty), torch.bfloat16)
    assert max(step.gradient_errors(SETTINGS, loss_with(penalty)).values()) < 0.1


@pytest.mark.parametrize("penalty", PENALTIES)
def test_loss_agrees_with_float64(make_step: MakeStep, penalty: JumpReluPenalty) -> None:
    step = make_step(config(penalty))
    statistics = step.model.compute_gradients(step.x, SETTINGS)
    weights = {name: value.double() for name, value in step.model.parameters.items()}
    expected = float(loss_with(penalty)(weights, step.x.double()))
    assert float(statistics.loss) == pytest.approx(expected, rel=1e-6)


def test_after_update_keeps_thresholds_from_going_below_zero(make_step: MakeStep) -> None:
    step = make_step(config(JumpReluPenalty.l0))
    step.model.parameters["threshold"][:3] = torch.tensor([-0.5, 0.0, 0.3])
    step.model.after_update()
    assert step.model.parameters["threshold"][:3].tolist() == pytest.approx([0.0, 0.0, 0.3])
