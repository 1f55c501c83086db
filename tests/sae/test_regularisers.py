import pytest
import torch
from torch import Tensor

from sae.architectures.base import TrainableSae
from sae.architectures.config import SaeConfig
from sae.architectures.registry import build
from sae.dead_latents import DeadLatentsConfig
from sae.regularisers import add_regularisers, diversity_gradient
from sae.workspace import Workspace


def autograd_of_mean_squared_cosine(rows: Tensor) -> Tensor:
    rows = rows.double().requires_grad_()
    unit = rows / rows.norm(dim=1, keepdim=True)
    cosines = unit @ unit.t()
    pairs = ~torch.eye(len(rows), dtype=torch.bool)
    cosines[pairs].square().mean().backward()
    assert rows.grad is not None
    return rows.grad


def test_diversity_gradient_agrees_with_float64_autograd() -> None:
    rows = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    expected = autograd_of_mean_squared_cosine(rows)
    error = (diversity_gradient(rows).double() - expected).norm() / expected.norm()
    assert float(error) < 1e-6


def test_diversity_gradient_of_one_row_is_zero() -> None:
    assert not diversity_gradient(torch.ones(1, 4)).any()


def model_of(latent_dim: int) -> TrainableSae:
    generator = torch.Generator().manual_seed(0)
    workspace = Workspace(torch.float32, torch.device("cpu"))
    return build(SaeConfig(latent_dim=latent_dim), 6, generator, workspace)


def test_add_regularisers_encoder_l2_adds_twice_the_weights() -> None:
    model = model_of(10)
    add_regularisers(model, DeadLatentsConfig(encoder_l2=0.5), 0, 0)
    torch.testing.assert_close(model.gradients["W_enc"], model.parameters["W_enc"])
    assert not model.gradients["W_dec"].any()


def test_add_regularisers_diversity_covers_all_latents_of_a_small_dictionary() -> None:
    model = model_of(10)
    add_regularisers(model, DeadLatentsConfig(diversity=2.0), 0, 0)
    expected = 2 * autograd_of_mean_squared_cosine(model.parameters["W_dec"])
    torch.testing.assert_close(model.gradients["W_dec"].double(), expected, rtol=1e-4, atol=1e-7)


def test_add_regularisers_diversity_depends_on_seed_and_step_only() -> None:
    first, second, other = model_of(600), model_of(600), model_of(600)
    config = DeadLatentsConfig(diversity=1.0)
    add_regularisers(first, config, 3, 7)
    add_regularisers(second, config, 3, 7)
    add_regularisers(other, config, 3, 8)
    assert torch.equal(first.gradients["W_dec"], second.gradients["W_dec"])
    assert not torch.equal(first.gradients["W_dec"], other.gradients["W_dec"])


def test_add_regularisers_off_leaves_gradients_alone() -> None:
    model = model_of(10)
    add_regularisers(model, DeadLatentsConfig(), 0, 0)
    assert not any(value.any() for value in model.gradients.values())


@pytest.mark.parametrize("coefficient", [0.0, 1.0])
def test_diversity_descent_lowers_the_cosines(coefficient: float) -> None:
    rows = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)) + 1
    start = rows.clone()
    for _ in range(50):
        rows -= coefficient * diversity_gradient(rows)
    unit = torch.nn.functional.normalize(rows, dim=1)
    before = torch.nn.functional.normalize(start, dim=1)
    change = float((before @ before.t()).square().mean() - (unit @ unit.t()).square().mean())
    assert change == 0 if coefficient == 0 else change > 0.01
