import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepSettings, TrainableSae
from sae.architectures.config import Architecture, JumpReluConfig, SaeConfig
from sae.architectures.registry import build
from sae.dead_latents import Resampling
from sae.optimizer import Adam
from sae.resampling import resample
from sae.workspace import Workspace

D, F = 6, 20
DEAD = [2, 5, 11]
KINDS = [Resampling.copy, Resampling.loss_weighted]


def trained(architecture: Architecture) -> tuple[TrainableSae, Adam, Tensor]:
    generator = torch.Generator().manual_seed(0)
    jumprelu = JumpReluConfig(initial_threshold=0.125)
    config = SaeConfig(architecture=architecture, latent_dim=F, jumprelu=jumprelu)
    model = build(config, D, generator, Workspace(torch.float32, torch.device("cpu")))
    adam = Adam(model.parameters, model.gradients)
    x = torch.randn(32, D, generator=generator)
    for _ in range(3):
        model.compute_gradients(x, StepSettings(alpha=0.3, target_l0=4.0))
        adam.step(0.01)
    return model, adam, x


def dead_mask() -> Tensor:
    mask = torch.zeros(F, dtype=torch.bool)
    mask[DEAD] = True
    return mask


def latents_of(value: Tensor, name: str) -> Tensor:
    """The tensor with one row per latent."""
    return value.t() if name == "W_enc" else value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", list(Architecture))
def test_resample_changes_dead_latents_only(architecture: Architecture, kind: Resampling) -> None:
    model, adam, x = trained(architecture)
    before = {name: value.clone() for name, value in model.parameters.items()}
    count = resample(kind, model, adam, dead_mask(), x, torch.Generator().manual_seed(0))
    assert count == len(DEAD)
    for name, value in model.parameters.items():
        changed = latents_of(value, name) != latents_of(before[name], name)
        if name == "b_dec":
            assert not changed.any()
        else:
            assert not changed[~dead_mask()].any()
    rows_changed = (model.parameters["W_dec"] != before["W_dec"]).all(1)
    assert rows_changed.nonzero().squeeze(1).tolist() == DEAD


@pytest.mark.parametrize("kind", KINDS)
def test_resample_resets_the_moments_of_dead_latents_only(kind: Resampling) -> None:
    model, adam, x = trained(Architecture.standard)
    before = {name: value.clone() for name, value in adam.state_tensors().items()}
    resample(kind, model, adam, dead_mask(), x, torch.Generator().manual_seed(0))
    for name, value in adam.state_tensors().items():
        parameter, _, moment = name.partition(".")
        if moment == "step" or parameter == "b_dec":
            assert torch.equal(value, before[name])
            continue
        rows, old = latents_of(value, parameter), latents_of(before[name], parameter)
        assert not rows[DEAD].any()
        assert torch.equal(rows[~dead_mask()], old[~dead_mask()])


def test_resample_loss_weighted_points_at_the_worst_token() -> None:
    model, adam, x = trained(Architecture.standard)
    x[4] = 100 * torch.ones(D)
    resample(
        Resampling.loss_weighted, model, adam, dead_mask(), x, torch.Generator().manual_seed(0)
    )
    direction = torch.nn.functional.normalize(x[4] - model.parameters["b_dec"], dim=0)
    rows = torch.nn.functional.normalize(model.parameters["W_dec"][DEAD], dim=1)
    torch.testing.assert_close(rows @ direction, torch.ones(len(DEAD)))


def test_resample_loss_weighted_restores_the_initial_threshold() -> None:
    model, adam, x = trained(Architecture.jumprelu)
    model.parameters["threshold"].fill_(3.0)
    kind = Resampling.loss_weighted
    resample(kind, model, adam, dead_mask(), x, torch.Generator().manual_seed(0))
    assert model.parameters["threshold"][DEAD].tolist() == [0.125] * len(DEAD)


def test_resample_copy_stays_near_a_living_latent() -> None:
    model, adam, x = trained(Architecture.standard)
    living = model.parameters["W_dec"][~dead_mask()].clone()
    resample(Resampling.copy, model, adam, dead_mask(), x, torch.Generator().manual_seed(0))
    for row in model.parameters["W_dec"][DEAD]:
        distances = (living - row).norm(dim=1) / living.norm(dim=1)
        assert float(distances.min()) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "mask"),
    [
        (Resampling.none, dead_mask()),
        (Resampling.copy, torch.zeros(F, dtype=torch.bool)),
        (Resampling.loss_weighted, torch.ones(F, dtype=torch.bool)),
    ],
)
def test_resample_nothing_to_do_changes_nothing(kind: Resampling, mask: Tensor) -> None:
    model, adam, x = trained(Architecture.standard)
    before = {name: value.clone() for name, value in model.parameters.items()}
    assert resample(kind, model, adam, mask, x, torch.Generator().manual_seed(0)) == 0
    assert all(torch.equal(value, before[name]) for name, value in model.parameters.items())
