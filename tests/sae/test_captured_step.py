from dataclasses import replace

import pytest
import torch

from sae.activations import ActivationStore
from sae.architectures.base import Revival, StepSettings
from sae.architectures.config import Architecture, JumpReluConfig, JumpReluPenalty, SaeConfig
from sae.captured_step import CapturedStep
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
    request: TrainingRequest, store: ActivationStore, device: torch.device, *, captured: bool
) -> dict[str, torch.Tensor]:
    state = RunState(request, store, device)
    state.captured = state.captured_step() if captured else None
    batches = store.train_batches(request.trainer.batch_size, request.seed)
    for _ in range(STEPS):
        assert state.take_step(next(batches).to(device), check=True) is None
    return state.tensors()


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
        (
            StepSettings(
                alpha=1.0,
                target_l0=4.0,
                revival=Revival(dead=torch.tensor([0]), latents=1, coefficient=1.0),
            ),
            64,
            False,
        ),
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
    step = CapturedStep(state.model, lambda rate: None, batch_size=64, target_l0=4.0)
    assert step.fits(settings, tokens) is fits
