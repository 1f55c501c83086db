from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sae.architectures.base import StepSettings
from sae.architectures.config import Architecture, SaeConfig

K = 5
CONFIG = SaeConfig(architecture=Architecture.topk, latent_dim=40)
SETTINGS = StepSettings(alpha=0, target_l0=K)
MakeStep = Callable[..., Any]


def reconstruct(weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    z = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    strength = z * weights["W_dec"].norm(dim=1)
    kept = strength >= strength.topk(K, dim=1).values[:, -1:]
    f = torch.relu(z) * kept.detach()
    return f, f @ weights["W_dec"] + weights["b_dec"]


def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return (x - reconstruct(weights, x)[1]).square().sum(1).mean()


def test_gradient_in_fp32_agrees_with_float64_autograd(make_step: MakeStep) -> None:
    errors = make_step(CONFIG).gradient_errors(SETTINGS, loss)
    assert set(errors) == {"W_enc", "W_dec", "b_enc", "b_dec"}
    assert max(errors.values()) < 1e-6


def test_gradient_in_bf16_is_close_to_float64_autograd(make_step: MakeStep) -> None:
    # Rounding moves a few latents over the selection's edge, hence the wider margin.
    errors = make_step(CONFIG, torch.bfloat16).gradient_errors(SETTINGS, loss)
    assert max(errors.values()) < 0.15


def test_firings_are_k_for_every_token(make_step: MakeStep) -> None:
    step = make_step(CONFIG)
    statistics = step.model.compute_gradients(step.x, SETTINGS)
    assert float(statistics.firings.sum()) == K * len(step.x)


def test_inference_weights_have_unit_rows_and_the_same_reconstruction(
    make_step: MakeStep,
) -> None:
    step = make_step(CONFIG)
    step.model.compute_gradients(step.x, SETTINGS)
    saved = step.model.inference_weights()
    assert (saved.architecture, saved.extra["k"]) == ("topk", K)
    torch.testing.assert_close(saved.tensors["W_dec"].norm(dim=1), torch.ones(40).to(step.x))
    h = (step.x - saved.tensors["b_dec"]) @ saved.tensors["W_enc"] + saved.tensors["b_enc"]
    top = h.topk(K, dim=1)
    f = torch.zeros_like(h).scatter_(1, top.indices, top.values.relu())
    _, expected = reconstruct(step.model.parameters, step.x)
    x_hat = f @ saved.tensors["W_dec"] + saved.tensors["b_dec"]
    torch.testing.assert_close(x_hat, expected, rtol=1e-4, atol=1e-5)
