from pathlib import Path

import pytest
import torch

from sae.activations import ActivationStore
from sae.architectures.base import StepSettings
from sae.architectures.config import (
    Architecture,
    JumpReluConfig,
    JumpReluPenalty,
    SaeConfig,
)
from sae.architectures.registry import build
from sae.export import save_sae
from sae.penalties import mean_penalty, penalty_sum
from sae.sae_file import load
from sae.workspace import Workspace

CPU = torch.device("cpu")


def sae_config(architecture: Architecture, penalty: JumpReluPenalty) -> SaeConfig:
    jumprelu = JumpReluConfig(penalty=penalty)
    return SaeConfig(architecture=architecture, latent_dim=24, jumprelu=jumprelu)


@pytest.mark.parametrize(
    ("architecture", "penalty"),
    [
        (Architecture.standard, JumpReluPenalty.l0),
        (Architecture.gated, JumpReluPenalty.l0),
        (Architecture.jumprelu, JumpReluPenalty.l0),
        (Architecture.jumprelu, JumpReluPenalty.tanh),
        (Architecture.jumprelu, JumpReluPenalty.quadratic),
        (Architecture.topk, JumpReluPenalty.l0),
    ],
)
def test_penalty_of_saved_weights_is_that_of_the_training_step(
    store: ActivationStore, tmp_path: Path, architecture: Architecture, penalty: JumpReluPenalty
) -> None:
    config = sae_config(architecture, penalty)
    generator = torch.Generator().manual_seed(0)
    model = build(config, store.d_in, generator, Workspace(torch.float32, CPU))
    for value in model.parameters.values():
        value += 0.1 * torch.randn(value.shape, generator=generator)
    model.after_update()
    raw, _ = next(store.held_out_batches(256))
    x = (raw - store.mean) * store.scale
    statistics = model.compute_gradients(x, StepSettings(alpha=1.0, target_l0=4.0))
    save_sae(tmp_path / "sae", model.inference_weights(), store, {})
    sae = load(tmp_path / "sae")
    norms = sae.tensors["W_dec"].norm(dim=1) * store.scale
    token_mean = float(penalty_sum(config, sae, raw, sae.encode(raw), norms)) / len(raw)
    l0 = float(statistics.firings.sum()) / len(raw)
    measured = mean_penalty(config, token_mean, l0, 4.0)
    assert measured == pytest.approx(float(statistics.penalty), rel=1e-4)
