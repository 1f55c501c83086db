"""Every architecture's step with Triton kernels against its plain one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sae.architectures.base import Revival, StepSettings, TrainableSae
from sae.architectures.config import Architecture, JumpReluConfig, JumpReluPenalty, SaeConfig
from sae.architectures.registry import build
from sae.dead_set import DeadLatents
from sae.deferred_gradient import Written
from sae.gpu_kernels import adam
from sae.gradient_clip import clip_divisor
from sae.health import non_finite_tensor
from sae.micro_batches import accumulate_gradients
from sae.optimizer import Adam
from sae.workspace import Workspace

D, F, B = 38, 70, 50  # no multiples of anything that the kernels cut work into
TANH = JumpReluConfig(penalty=JumpReluPenalty.tanh)
SAES = [
    *(SaeConfig(latent_dim=F, architecture=architecture) for architecture in Architecture),
    SaeConfig(latent_dim=F, architecture=Architecture.jumprelu, jumprelu=TANH),
]
SETTINGS = StepSettings(alpha=0.7, target_l0=8.0)


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """To interpret a program takes as long whether it moves one row or many."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(adam, "WHOLE_ROWS", replace(adam.WHOLE_ROWS, rows=32))


def model_of(sae: SaeConfig, device: torch.device, *, fused: bool) -> TrainableSae:
    random = torch.Generator().manual_seed(0)
    space = Workspace(torch.float32, device, compiled=False, fused=fused)
    model = build(replace(sae, decoder_init_norm=1.0), D, random, space)
    for value in model.parameters.values():
        value += 0.05 * torch.randn(value.shape, generator=random).to(device)
    model.after_update()
    return model


def batch(number: int, device: torch.device) -> Tensor:
    return torch.randn(B, D, generator=torch.Generator().manual_seed(number)).to(device)


def gradient_of(model: TrainableSae, name: str) -> Tensor:
    found = model.deferred.get(name)
    if found is None:
        return model.gradients[name]
    weight, is_decoder = model.parameters[name], name == "W_dec"
    value = found.value(weight if is_decoder else weight.t())
    return value if is_decoder else value.t()


def name_of(sae: SaeConfig) -> str:
    return f"{sae.architecture}-{sae.penalty}"


def reviving(device: torch.device) -> StepSettings:
    revival = Revival(
        dead=DeadLatents(listed=torch.tensor([3, 20, 69], device=device), are_dead=None),
        latents=2,
        coefficient=0.3,
        pre_activation=0.1,
    )
    return replace(SETTINGS, revival=revival)


@pytest.mark.parametrize("revives", [False, True], ids=["plain", "revives"])
@pytest.mark.parametrize("writes", Written)
@pytest.mark.parametrize("sae", SAES, ids=name_of)
def test_fused_step_agrees_with_the_plain_one(
    sae: SaeConfig, writes: Written, *, revives: bool, kernel_device: torch.device
) -> None:
    step = reviving(kernel_device) if revives else SETTINGS
    plain, fused = (model_of(sae, kernel_device, fused=fused) for fused in (False, True))
    fused.writes = writes
    expected, found = (
        model.compute_gradients(batch(1, kernel_device), step) for model in (plain, fused)
    )
    assert set(fused.deferred) == (
        set() if fused.writes is Written.gradients else {"W_enc", "W_dec"}
    )
    for name, value in plain.gradients.items():
        torch.testing.assert_close(gradient_of(fused, name), value, rtol=1e-4, atol=1e-5, msg=name)
    for name in ("mse", "l1", "penalty", "loss", "firings"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), msg=name)
    by_plain, by_fused = (
        clip_divisor(model.gradients, 1e-3, model.workspace.derived, model.deferred)
        for model in (plain, fused)
    )
    torch.testing.assert_close(by_fused, by_plain, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("writes", Written)
@pytest.mark.parametrize("sae", SAES, ids=name_of)
def test_fused_steps_train_as_plain_ones_do(
    sae: SaeConfig, writes: Written, kernel_device: torch.device
) -> None:
    steps = [SETTINGS, reviving(kernel_device)]  # the second reads what the first update left
    weights: list[dict[str, Tensor]] = []
    for fused in (False, True):
        model = model_of(sae, kernel_device, fused=fused)
        model.writes = writes if fused else Written.gradients
        adam = Adam(model.parameters, model.gradients, model.rate_factors(), model.workspace)
        for number, step in enumerate(steps):
            model.compute_gradients(batch(number, kernel_device), step)
            divisor = clip_divisor(model.gradients, 0.5, model.workspace.derived, model.deferred)
            assert float(divisor) > 1
            adam.step(3e-3, divisor, model.deferred)
            model.after_update()
        weights.append(model.parameters)
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_parts_of_a_batch_leave_nothing_deferred(kernel_device: torch.device) -> None:
    plain, fused = (model_of(SAES[0], kernel_device, fused=fused) for fused in (False, True))
    fused.writes = Written.nothing
    x_BD = batch(1, kernel_device)
    plain.compute_gradients(x_BD, SETTINGS)
    accumulate_gradients(fused, x_BD, SETTINGS, micro_batch=20)
    assert not fused.deferred
    for name, value in plain.gradients.items():
        torch.testing.assert_close(fused.gradients[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_restored_model_has_the_norms_that_were_saved(kernel_device: torch.device) -> None:
    whole, resumed = (model_of(SAES[0], kernel_device, fused=True) for _ in range(2))
    whole.compute_gradients(batch(1, kernel_device), SETTINGS)
    Adam(whole.parameters, whole.gradients, workspace=whole.workspace).step(3e-3)
    # As if summed in another order than torch sums them.
    whole.state_tensors()["norms of W_dec"].mul_(1 + 1e-6)
    for name, value in whole.state_tensors().items():
        resumed.state_tensors()[name].copy_(value)
    resumed.after_restore(target_l0=None)
    found, expected = (
        model.compute_gradients(batch(2, kernel_device), SETTINGS).l1 for model in (resumed, whole)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("sae", SAES, ids=name_of)
def test_nan_in_a_bias_is_found_as_in_the_plain_step(
    sae: SaeConfig, kernel_device: torch.device
) -> None:
    found: list[str | None] = []
    for fused in (False, True):
        model = model_of(sae, kernel_device, fused=fused)
        bias = "b_gate" if sae.architecture is Architecture.gated else "b_enc"
        model.parameters[bias][3] = torch.nan
        statistics = model.compute_gradients(batch(1, kernel_device), SETTINGS)
        found.append(non_finite_tensor(statistics, model.gradients))
    assert found[0] == found[1]


def test_standard_step_with_nan_in_a_bias_has_no_finite_loss(kernel_device: torch.device) -> None:
    model = model_of(SAES[0], kernel_device, fused=True)
    model.parameters["b_enc"][3] = torch.nan
    statistics = model.compute_gradients(batch(1, kernel_device), SETTINGS)
    assert non_finite_tensor(statistics, model.gradients) == "the loss"


def test_norms_of_a_checkpoint_are_those_of_weights_that_changed_after_the_update(
    kernel_device: torch.device,
) -> None:
    model = model_of(SAES[0], kernel_device, fused=True)
    model.compute_gradients(batch(1, kernel_device), SETTINGS)
    Adam(model.parameters, model.gradients, workspace=model.workspace).step(3e-3)
    model.parameters["W_dec"].mul_(2)  # as latents are replaced between steps
    expected = model.parameters["W_dec"].norm(dim=1)
    torch.testing.assert_close(model.state_tensors()["norms of W_dec"], expected)


def test_release_lets_go_of_what_was_deferred(kernel_device: torch.device) -> None:
    model = model_of(SAES[0], kernel_device, fused=True)
    model.writes = Written.nothing
    model.compute_gradients(batch(1, kernel_device), SETTINGS)
    model.release()
    assert not model.deferred
