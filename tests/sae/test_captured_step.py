import gc
import weakref
from dataclasses import replace

import pytest
import torch

from sae.activations import ActivationStore
from sae.architectures.base import Revival, StepSettings, StepStatistics
from sae.architectures.config import Architecture, JumpReluConfig, JumpReluPenalty, SaeConfig
from sae.captured_step import CapturedStep
from sae.dead_set import DeadLatents, DeadSet
from sae.run_state import RunState
from sae.training import TrainingRequest

STEPS = 12
SAES = [
    *(SaeConfig(latent_dim=32, architecture=architecture) for architecture in Architecture),
    *(
        SaeConfig(
            latent_dim=32,
            architecture=Architecture.jumprelu,
            jumprelu=JumpReluConfig(penalty=penalty),
        )
        for penalty in (JumpReluPenalty.tanh, JumpReluPenalty.quadratic)
    ),
]


def parameters_after(
    request: TrainingRequest,
    store: ActivationStore,
    device: torch.device,
    *,
    captured: bool,
    steps: int = STEPS,
    dead: int = 0,
) -> dict[str, torch.Tensor]:
    state = RunState(request, store, device)
    state.captured = state.new_captured_step() if captured else None
    state.dead = DeadSet(request.sae.latent_dim, device, every=4)  # as on a GPU, whatever it is
    if dead:
        state.model.parameters["b_enc"][:dead] = -100.0
        state.trace.tokens_since_fired_F[:dead] = 1e9
    batches = store.train_batches(request.trainer.batch_size, request.seed)
    for _ in range(steps):
        assert state.take_step(next(batches).to(device), check=True) is None
    return state.tensors()


def reviving(listed: list[int], are_dead: list[bool] | None) -> StepSettings:
    dead = DeadLatents(
        listed=torch.tensor(listed),
        are_dead=None if are_dead is None else torch.tensor(are_dead),
    )
    revival = Revival(dead=dead, latents=1, coefficient=1.0)
    return StepSettings(alpha=1.0, target_l0=4.0, revival=revival)


@pytest.mark.parametrize("sae", SAES, ids=lambda sae: f"{sae.architecture}-{sae.penalty}")
def test_captured_steps_train_as_plain_ones_do(
    sae: SaeConfig, short_run: TrainingRequest, store: ActivationStore, device: torch.device
) -> None:
    alpha = 0.0 if sae.architecture.sets_l0 else 0.5
    request = replace(short_run, sae=sae, alpha_canonical=alpha, target_l0_count=4.0)
    expected = parameters_after(request, store, device, captured=False)
    for name, value in parameters_after(request, store, device, captured=True).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("settings", "tokens", "fits"),
    [
        (StepSettings(alpha=1.0, target_l0=4.0), 64, True),
        (StepSettings(alpha=1.0, target_l0=5.0), 64, False),
        (StepSettings(alpha=1.0, target_l0=4.0), 32, False),
        (reviving([0, 1], [True, False]), 64, True),
        (reviving([0], None), 64, False),
    ],
)
def test_fits_only_steps_that_do_the_same_with_the_same_memory(
    settings: StepSettings,
    tokens: int,
    fits: bool,
    short_run: TrainingRequest,
    store: ActivationStore,
) -> None:
    state = RunState(short_run, store, torch.device("cpu"))
    step = CapturedStep(state.model, batch_size=64, target_l0=4.0)
    assert step.fits(settings, tokens) is fits


def test_captured_steps_without_memory_go_on_in_parts(
    short_run: TrainingRequest,
    store: ActivationStore,
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = RunState(short_run, store, device)
    state.captured = state.new_captured_step()
    compute = state.model.compute_gradients

    def with_room_for_16(x_BD: torch.Tensor, settings: StepSettings) -> StepStatistics:
        if len(x_BD) > 16:
            raise torch.OutOfMemoryError
        return compute(x_BD, settings)

    monkeypatch.setattr(state.model, "compute_gradients", with_room_for_16)
    batch_BD = next(store.train_batches(short_run.trainer.batch_size, 0)).to(device)
    assert state.take_step(batch_BD, check=True) is None
    assert int(state.micro_batch) == 16
    assert state.captured is None


def test_captured_steps_and_steps_that_revive_latents_take_turns(
    short_run: TrainingRequest, store: ActivationStore, device: torch.device
) -> None:
    request = replace(short_run, sae=SAES[0])
    expected = parameters_after(request, store, device, captured=False, steps=40, dead=5)
    assert expected["dead"].any()
    found = parameters_after(request, store, device, captured=True, steps=40, dead=5)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("dead", [0, 5])
def test_run_that_was_captured_gives_its_memory_back_without_the_collector(
    short_run: TrainingRequest, store: ActivationStore, device: torch.device, dead: int
) -> None:
    state = RunState(short_run, store, device)
    state.captured = state.new_captured_step()
    state.dead = DeadSet(short_run.sae.latent_dim, device, every=4)
    state.trace.tokens_since_fired_F[:dead] = 1e9
    batches = store.train_batches(short_run.trainer.batch_size, 0)
    for _ in range(STEPS):
        state.take_step(next(batches).to(device), check=True)
    weights = weakref.ref(state.model.parameters["W_dec"])
    gc.disable()
    try:
        del state
        assert weights() is None
    finally:
        gc.enable()
