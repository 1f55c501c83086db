import dataclasses
import math
from pathlib import Path

import pytest

from sae.activations import ActivationStore
from sae.architectures.config import SaeConfig
from sae.errors import SaeError
from sae.trainer_config import TrainerConfig
from sae.training_result import TrainingRequest


def request(alpha: float = 1.0, target: float | None = None) -> TrainingRequest:
    return TrainingRequest(
        sae=SaeConfig(latent_dim=32),
        trainer=TrainerConfig(),
        alpha_canonical=alpha,
        target_l0_count=target,
    )


@pytest.mark.parametrize("alpha", [-1.0, math.nan, math.inf])
def test_training_request_alpha_that_is_no_coefficient_is_refused(alpha: float) -> None:
    with pytest.raises(SaeError, match=r"^l1_alpha must be finite and not negative, but got"):
        request(alpha)


@pytest.mark.parametrize("target", [0, -3, 33, math.nan])
def test_training_request_target_outside_the_latents_is_refused(target: float) -> None:
    with pytest.raises(SaeError, match=r"^target_l0 must be above 0 and at most sae\.latent_dim"):
        request(target=target)


def test_identity_ignores_the_device_and_what_is_only_seen(store: ActivationStore) -> None:
    trainer = TrainerConfig(log_every=7, stop_early=False, checkpoint_every=5)
    other = dataclasses.replace(request(), device="cpu", trainer=trainer)
    assert other.identity(store) == request().identity(store)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"alpha_canonical": 2.0}, {"trainer": TrainerConfig(total_steps=601)}]
)
def test_identity_changes_with_what_determines_the_weights(
    store: ActivationStore, change: dict[str, object]
) -> None:
    other = dataclasses.replace(request(), **change)  # type: ignore[arg-type]
    assert other.identity(store) != request().identity(store)


def test_identity_changes_with_the_data(store: ActivationStore, tmp_path: Path) -> None:
    other = dataclasses.replace(store, fingerprint="0" * 64)
    assert request().identity(other) != request().identity(store)
