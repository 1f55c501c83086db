from typing import Any

import pytest

from sae.architectures.config import (
    Architecture,
    JumpReluConfig,
    JumpReluPenalty,
    SaeConfig,
)
from sae.dead_latents import DeadLatentsConfig, Resampling
from sae.errors import SaeError
from sae.request_checks import check_request
from sae.trainer_config import Controller, TrainerConfig

STANDARD = SaeConfig(latent_dim=32)
TOPK = SaeConfig(architecture=Architecture.topk, latent_dim=32)
QUADRATIC = SaeConfig(
    architecture=Architecture.jumprelu,
    latent_dim=32,
    jumprelu=JumpReluConfig(penalty=JumpReluPenalty.quadratic),
)
STEERED = TrainerConfig(controller=Controller.l0)


def trainer_with(**settings: Any) -> TrainerConfig:
    return TrainerConfig(dead_latents=DeadLatentsConfig(**settings))


@pytest.mark.parametrize(
    ("sae", "trainer", "alpha", "target"),
    [
        (STANDARD, TrainerConfig(), 1.0, None),
        (STANDARD, STEERED, 1.0, 4.0),
        (TOPK, TrainerConfig(target_l0_start=0.5), 0.0, 4.0),
        (QUADRATIC, TrainerConfig(target_l0_start=20), 1.0, 4.0),
        (STANDARD, trainer_with(resampling=Resampling.copy, resample_every=200), 1.0, None),
    ],
)
def test_check_request_settings_that_agree_pass(
    sae: SaeConfig, trainer: TrainerConfig, alpha: float, target: float | None
) -> None:
    check_request(sae, trainer, alpha, target)


@pytest.mark.parametrize(
    ("sae", "trainer", "alpha", "target", "message"),
    [
        (TOPK, TrainerConfig(), 2.0, 4.0, r"^l1_alpha must be null with .*topk, whose k"),
        (TOPK, TrainerConfig(), 0.0, None, r"^target_l0 must be given with .*topk"),
        (TOPK, TrainerConfig(), 0.0, 33.0, r"^target_l0 must be above 0 and at most .*32"),
        (QUADRATIC, TrainerConfig(), 1.0, None, r"^target_l0 must be given .*quadratic"),
        (TOPK, STEERED, 0.0, 4.0, r"^trainer\.controller must be none with .*topk"),
        (QUADRATIC, STEERED, 1.0, 4.0, r"^trainer\.controller must be none with .*jumprelu"),
        (STANDARD, STEERED, 1.0, None, r"^target_l0 must be given with trainer\.controller=l0"),
        (STANDARD, STEERED, 0.0, 4.0, r"^l1_alpha must be positive with trainer\.controller=l0"),
        (
            STANDARD,
            TrainerConfig(target_l0_start=0.1),
            1.0,
            4.0,
            r"^trainer\.target_l0_start must be null with .*standard",
        ),
        (
            STANDARD,
            TrainerConfig(controller=Controller.l0, target_l0_start=0.1),
            1.0,
            4.0,
            r"^trainer\.target_l0_start must be null with .*standard",
        ),
        (
            TOPK,
            TrainerConfig(target_l0_start=40),
            0.0,
            4.0,
            r"^trainer\.target_l0_start must be at most .*\(32\), but got 40",
        ),
        (
            STANDARD,
            trainer_with(auxk_latents=33),
            1.0,
            None,
            r"^trainer\.dead_latents\.auxk_latents must be at most .*\(32\), but got 33",
        ),
        (
            STANDARD,
            trainer_with(resampling=Resampling.copy, resample_every=10),
            1.0,
            None,
            r"^trainer\.dead_latents\.resample_every must leave .* but got 10 steps of 512",
        ),
        (
            STANDARD,
            TrainerConfig(
                decay_fraction=1, dead_latents=DeadLatentsConfig(resampling=Resampling.copy)
            ),
            1.0,
            None,
            r"^trainer\.dead_latents\.resampling must be none .*decay_fraction 1.* but got copy",
        ),
        (
            STANDARD,
            trainer_with(resampling=Resampling.copy, resample_every=400),
            1.0,
            None,
            r"^trainer\.dead_latents\.resampling must be none .*\(400 steps\).* but got copy",
        ),
    ],
)
def test_check_request_settings_that_contradict_are_refused(
    sae: SaeConfig, trainer: TrainerConfig, alpha: float, target: float | None, message: str
) -> None:
    with pytest.raises(SaeError, match=message):
        check_request(sae, trainer, alpha, target)
