from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepSettings
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.workspace import Workspace

ALPHA = 0.7
CONFIG = SaeConfig(architecture=Architecture.gated, latent_dim=40)
MakeStep = Callable[..., Any]


def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    p = (x - weights["b_dec"]) @ weights["W_enc"]
    gate = p + weights["b_gate"]
    magnitude = p * weights["r_mag"].exp() + weights["b_mag"]
    f = (gate > 0) * torch.relu(magnitude)
    x_hat = f @ weights["W_dec"] + weights["b_dec"]
    penalty = torch.relu(gate).sum(1).mean()
    frozen = torch.relu(gate) @ weights["W_dec"].detach() + weights["b_dec"].detach()
    mse = (x - x_hat).square().sum(1).mean()
    return mse + ALPHA * penalty + (x - frozen).square().sum(1).mean()


def test_gradient_in_fp32_agrees_with_float64_autograd(make_step: MakeStep) -> None:
    errors = make_step(CONFIG).gradient_errors(StepSettings(alpha=ALPHA), loss)
    assert set(errors) == {"W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"}
    assert max(errors.values()) < 1e-6


def test_gradient_in_bf16_is_close_to_float64_autograd(make_step: MakeStep) -> None:
    errors = make_step(CONFIG, torch.bfloat16).gradient_errors(StepSettings(alpha=ALPHA), loss)
    assert max(errors.values()) < 0.05


def test_loss_agrees_with_float64(make_step: MakeStep) -> None:
    step = make_step(CONFIG)
    statistics = step.model.compute_gradients(step.x, StepSettings(alpha=ALPHA))
    weights = {name: value.double() for name, value in step.model.parameters.items()}
    assert float(statistics.loss) == pytest.approx(float(loss(weights, step.x.double())), rel=1e-6)


def test_auxiliary_is_what_the_loss_holds_beside_error_and_penalty(make_step: MakeStep) -> None:
    step = make_step(CONFIG)
    found = step.model.compute_gradients(step.x, StepSettings(alpha=ALPHA))
    own = float(found.mse + ALPHA * found.penalty)
    assert float(found.auxiliary) > 0
    assert float(found.loss - found.auxiliary) == pytest.approx(own, rel=1e-6)


def test_decoder_starts_with_rows_of_unit_norm_and_the_encoder_along_them() -> None:
    random = torch.Generator().manual_seed(0)
    weights = build(CONFIG, 12, random, Workspace(torch.float32, torch.device("cpu"))).parameters
    torch.testing.assert_close(weights["W_dec"].norm(dim=1), torch.ones(40))
    torch.testing.assert_close(weights["W_enc"], 0.1 * weights["W_dec"].t())


def test_after_update_brings_decoder_rows_back_to_unit_norm(make_step: MakeStep) -> None:
    model = make_step(CONFIG).model
    before = model.parameters["W_dec"].clone()
    model.parameters["W_dec"].mul_(torch.linspace(0.5, 3, 40, device=before.device).unsqueeze(1))
    model.after_update()
    torch.testing.assert_close(model.parameters["W_dec"], before)
