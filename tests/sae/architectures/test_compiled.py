"""Every architecture's compiled step against its plain one, dense and sparse."""

import pytest
import torch
from torch import Tensor

from sae.architectures.base import Revival, StepSettings, StepStatistics, TrainableSae
from sae.architectures.compiled import SPARSE_BELOW
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.dead_set import DeadLatents
from sae.gradient_clip import clip_divisor
from sae.workspace import Workspace

D, F, B = 38, 70, 200  # no multiples of anything that the kernels cut work into
DEAD = torch.tensor([3, 20, 41, 69])
CPU = torch.device("cpu")
BIASES = {"sparse": -2.0, "dense": 0.0}
TARGETS = {"sparse": 2.0, "dense": 20.0}


def model_of(
    architecture: Architecture, kind: str, *, compiled: bool, dtype: torch.dtype = torch.float32
) -> TrainableSae:
    random = torch.Generator().manual_seed(0)
    config = SaeConfig(architecture=architecture, latent_dim=F, decoder_init_norm=1.0)
    model = build(config, D, random, Workspace(dtype, CPU, compiled=compiled))
    for name, value in model.parameters.items():
        value += 0.05 * torch.randn(value.shape, generator=random)
        if name in ("b_enc", "b_gate"):
            value += BIASES[kind]
    model.after_update()
    return model


def step(model: TrainableSae, kind: str, *, revives: bool = False) -> StepStatistics:
    x_BD = torch.randn(B, D, generator=torch.Generator().manual_seed(1))
    dead = DeadLatents(listed=DEAD, are_dead=None)
    revival = Revival(dead=dead, latents=2, coefficient=0.3, pre_activation=0.1)
    settings = StepSettings(
        alpha=0.7, target_l0=TARGETS[kind], revival=revival if revives else None
    )
    return model.compute_gradients(x_BD, settings)


def distance(value: Tensor, expected: Tensor) -> float:
    return float((value - expected).double().norm() / expected.double().norm())


@pytest.mark.parametrize("revives", [False, True], ids=["", "revives"])
@pytest.mark.parametrize("kind", BIASES)
@pytest.mark.parametrize("architecture", list(Architecture))
def test_compiled_step_in_fp32_agrees_with_the_plain_one(
    architecture: Architecture, kind: str, revives: bool
) -> None:
    compiled = model_of(architecture, kind, compiled=True)
    plain = model_of(architecture, kind, compiled=False)
    found, expected = step(compiled, kind, revives=revives), step(plain, kind, revives=revives)
    density = float(found.firings.mean()) / B
    assert (density < SPARSE_BELOW[torch.float32]) == (kind == "sparse")
    assert found.firings.tolist() == expected.firings.tolist()
    for name in ("mse", "l1", "penalty", "loss", "auxiliary"):
        value = float(getattr(expected, name))
        assert float(getattr(found, name)) == pytest.approx(value, rel=1e-6), name
    for name, gradient in plain.gradients.items():
        assert distance(compiled.gradients[name], gradient) < 1e-6, name


@pytest.mark.parametrize("revives", [False, True], ids=["", "revives"])
@pytest.mark.parametrize("kind", BIASES)
@pytest.mark.parametrize("architecture", list(Architecture))
def test_compiled_step_leaves_the_squares_of_the_gradients_it_has_written_or_none(
    architecture: Architecture, kind: str, revives: bool
) -> None:
    model = model_of(architecture, kind, compiled=True)
    step(model, kind, revives=revives)
    found = clip_divisor(model.gradients, 0.01, model.workspace.derived)
    torch.testing.assert_close(found, clip_divisor(model.gradients, 0.01))


@pytest.mark.parametrize("kind", BIASES)
@pytest.mark.parametrize("architecture", list(Architecture))
def test_compiled_step_in_bf16_is_near_the_plain_one_in_fp32(
    architecture: Architecture, kind: str
) -> None:
    compiled = model_of(architecture, kind, compiled=True, dtype=torch.bfloat16)
    rough = model_of(architecture, kind, compiled=False, dtype=torch.bfloat16)
    exact = model_of(architecture, kind, compiled=False)
    for model in (compiled, rough, exact):
        step(model, kind)
    for name, gradient in exact.gradients.items():
        limit = 1.5 * distance(rough.gradients[name], gradient) + 1e-3
        assert distance(compiled.gradients[name], gradient) < limit, name


@pytest.mark.parametrize("architecture", list(Architecture))
def test_compiled_step_gives_the_same_bytes_on_one_thread_or_two(
    architecture: Architecture,
) -> None:
    models = [model_of(architecture, "sparse", compiled=True) for _ in range(2)]
    for count, model in enumerate(models, start=1):
        torch.set_num_threads(count)
        step(model, "sparse")
    for name, gradient in models[0].gradients.items():
        if name.startswith("W"):
            assert torch.equal(models[1].gradients[name], gradient), name


@pytest.mark.parametrize("architecture", list(Architecture))
def test_compiled_step_on_a_token_that_is_not_a_number_says_so_in_the_loss(
    architecture: Architecture,
) -> None:
    model = model_of(architecture, "sparse", compiled=True)
    model.parameters["W_enc"][3, 5] = torch.nan
    assert not bool(step(model, "sparse").loss.isfinite())


@pytest.mark.parametrize("weights", ["W_enc", "W_dec"])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_compiled_step_on_weights_that_are_no_numbers_ends_and_says_so(
    architecture: Architecture, weights: str
) -> None:
    model = model_of(architecture, "sparse", compiled=True)
    model.parameters[weights].fill_(torch.nan)
    assert not bool(step(model, "sparse").loss.isfinite())
