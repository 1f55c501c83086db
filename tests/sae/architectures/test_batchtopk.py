from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepSettings
from sae.architectures.config import Architecture, SaeConfig

K = 5.5
CONFIG = SaeConfig(architecture=Architecture.batchtopk, latent_dim=40)
SETTINGS = StepSettings(alpha=0, target_l0=K)
MakeStep = Callable[..., Any]


def latents(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    z = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    strength = (z * weights["W_dec"].norm(dim=1)).detach()
    smallest = strength.flatten().topk(round(K * len(x))).values[-1]
    return torch.relu(z) * (strength >= smallest)


def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    x_hat = latents(weights, x) @ weights["W_dec"] + weights["b_dec"]
    return (x - x_hat).square().sum(1).mean()


def test_gradient_in_fp32_agrees_with_float64_autograd(make_step: MakeStep) -> None:
    errors = make_step(CONFIG).gradient_errors(SETTINGS, loss)
    assert max(errors.values()) < 1e-6


def test_gradient_in_bf16_is_close_to_float64_autograd(make_step: MakeStep) -> None:
    errors = make_step(CONFIG, torch.bfloat16).gradient_errors(SETTINGS, loss)
    assert max(errors.values()) < 0.15


def test_firings_are_k_on_average_even_where_k_is_no_whole_number(make_step: MakeStep) -> None:
    step = make_step(CONFIG)
    statistics = step.model.compute_gradients(step.x, SETTINGS)
    assert float(statistics.firings.sum()) == round(K * len(step.x))


def test_inference_weights_select_what_training_selected(make_step: MakeStep) -> None:
    step = make_step(CONFIG)
    step.model.compute_gradients(step.x, SETTINGS)
    step.model.after_update()
    saved = step.model.inference_weights()
    assert saved.architecture == "jumprelu"
    h = (step.x - saved.tensors["b_dec"]) @ saved.tensors["W_enc"] + saved.tensors["b_enc"]
    f = torch.relu(h) * (h > saved.tensors["threshold"] - 1e-6)
    norms = step.model.parameters["W_dec"].norm(dim=1)
    expected = latents(step.model.parameters, step.x) * norms
    torch.testing.assert_close(f, expected, rtol=1e-4, atol=1e-5)


def test_threshold_moves_slowly_towards_a_new_batch(make_step: MakeStep) -> None:
    step = make_step(CONFIG)
    step.model.compute_gradients(step.x, SETTINGS)
    step.model.after_update()
    first = float(step.model.inference_weights().tensors["threshold"][0])
    step.model.compute_gradients(2 * step.x, SETTINGS)
    step.model.after_update()
    second = float(step.model.inference_weights().tensors["threshold"][0])
    assert first < second < 1.1 * first


def test_threshold_of_a_batch_without_positive_latents_stays(make_step: MakeStep) -> None:
    step = make_step(CONFIG)
    step.model.compute_gradients(step.x, SETTINGS)
    step.model.after_update()
    first = step.model.state_tensors()["threshold"].clone()
    step.model.parameters["b_enc"].fill_(-100)
    step.model.compute_gradients(step.x, SETTINGS)
    step.model.after_update()
    assert float(step.model.state_tensors()["threshold"]) == pytest.approx(float(first))


def test_settle_leaves_the_mean_threshold_of_its_batches_whatever_it_was(
    make_step: MakeStep,
) -> None:
    model, x = (step := make_step(CONFIG)).model, step.x
    model.threshold.fill_(77)
    for number, batch in enumerate((x, 2 * x)):
        model.settle(batch, SETTINGS, number)
    smallest: list[float] = []
    for batch in (x, 2 * x):
        z = (batch - model.parameters["b_dec"]) @ model.parameters["W_enc"]
        strength = (z + model.parameters["b_enc"]) * model.parameters["W_dec"].norm(dim=1)
        smallest.append(float(strength.flatten().topk(round(K * len(x))).values[-1]))
    assert float(model.threshold) == pytest.approx(sum(smallest) / 2, rel=1e-5)
