from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from sae.architectures.base import Revival, StepSettings
from sae.architectures.config import Architecture, SaeConfig
from sae.dead_set import DeadLatents

ALPHA, COEFFICIENT, PRE_ACTIVATION, K_AUX = 0.7, 0.3, 0.4, 3
DEAD = [4, 7, 11, 20, 33]
MakeStep = Callable[..., Any]


def settings(
    device: torch.device, latents: int = K_AUX, filled_up: Sequence[int] = ()
) -> StepSettings:
    listed = torch.tensor([*DEAD, *filled_up], device=device)
    are_dead = torch.arange(len(listed), device=device) < len(DEAD) if filled_up else None
    dead = DeadLatents(listed=listed, are_dead=are_dead)
    return StepSettings(
        alpha=ALPHA,
        revival=Revival(
            dead=dead, latents=latents, coefficient=COEFFICIENT, pre_activation=PRE_ACTIVATION
        ),
    )


def auxiliary_loss(weights: dict[str, Tensor], x: Tensor, latents: int) -> Tensor:
    z = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    f = torch.relu(z)
    x_hat = f @ weights["W_dec"] + weights["b_dec"]
    main = (x - x_hat).square().sum(1).mean()
    main = main + ALPHA * (f * weights["W_dec"].norm(dim=1)).sum(1).mean()
    z_dead = z[:, DEAD]
    kept = z_dead >= z_dead.topk(latents, dim=1).values[:, -1:]
    e_hat = (torch.relu(z_dead) * kept) @ weights["W_dec"][DEAD]
    residual = (x - x_hat).detach()
    norms = weights["W_dec"][DEAD].norm(dim=1).detach()
    lift = (torch.relu(-z_dead) * norms).sum(1).mean()
    auxiliary = (residual - e_hat).square().sum(1).mean()
    return main + COEFFICIENT * auxiliary + PRE_ACTIVATION * lift


@pytest.mark.parametrize("bias", [0.0, -0.5], ids=["dense", "sparse"])
@pytest.mark.parametrize("is_compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("latents", [K_AUX, len(DEAD)])
def test_gradient_agrees_with_float64_autograd(
    make_step: MakeStep, device: torch.device, latents: int, is_compiled: bool, bias: float
) -> None:
    step = make_step(SaeConfig(latent_dim=40))
    step.model.workspace.compiled &= is_compiled
    step.model.parameters["b_enc"] += bias
    step.model.parameters["b_enc"][DEAD] += 0.2
    loss = partial(auxiliary_loss, latents=latents)
    errors = step.gradient_errors(settings(device, latents), loss)
    assert max(errors.values()) < 1e-6


@pytest.mark.parametrize("is_compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("latents", [K_AUX, len(DEAD)])
def test_gradient_is_the_same_where_living_latents_fill_up_the_list(
    make_step: MakeStep, device: torch.device, latents: int, is_compiled: bool
) -> None:
    step = make_step(SaeConfig(latent_dim=40))
    step.model.workspace.compiled &= is_compiled
    step.model.parameters["b_enc"][DEAD] += 0.2
    step.model.compute_gradients(step.x, settings(device, latents))
    expected = {name: value.clone() for name, value in step.model.gradients.items()}
    step.model.compute_gradients(step.x, settings(device, latents, filled_up=[0, 1, 2, 39]))
    for name, value in step.model.gradients.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize("architecture", list(Architecture))
def test_dead_latents_of_every_architecture_get_a_gradient(
    make_step: MakeStep, device: torch.device, architecture: Architecture
) -> None:
    step = make_step(SaeConfig(architecture=architecture, latent_dim=40))
    bias = "b_gate" if architecture is Architecture.gated else "b_enc"
    step.model.compute_gradients(step.x, StepSettings(alpha=ALPHA, target_l0=4.0))
    without = step.model.gradients["W_dec"].clone()
    revival = settings(device).revival
    step.model.compute_gradients(step.x, StepSettings(alpha=ALPHA, target_l0=4.0, revival=revival))
    changed = (step.model.gradients["W_dec"] - without).norm(dim=1) > 1e-6
    assert changed.nonzero().squeeze(1).tolist() == DEAD
    assert bool(step.model.gradients[bias].isfinite().all())
