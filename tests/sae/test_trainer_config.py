import dataclasses

import pytest

from sae.errors import SaeError
from sae.trainer_config import Precision, TrainerConfig


def test_precision_member_names_are_what_the_user_types() -> None:
    assert all(member.name == member.value for member in Precision)


@pytest.mark.parametrize(
    "name",
    [
        "learning_rate",
        "batch_size",
        "total_steps",
        "log_every",
        "dead_window",
        "checkpoint_every",
    ],
)
def test_trainer_config_zero_is_refused(name: str) -> None:
    with pytest.raises(SaeError, match=rf"^trainer\.{name} must be positive, but got 0\.$"):
        dataclasses.replace(TrainerConfig(), **{name: 0})


@pytest.mark.parametrize("name", ["batch_size", "total_steps", "log_every", "held_out_tokens"])
def test_trainer_config_whole_number_of_more_than_64_bits_is_refused(name: str) -> None:
    with pytest.raises(
        SaeError, match=rf"^trainer\.{name} must be below 2\^63, but got {2**63}\."
    ):
        dataclasses.replace(TrainerConfig(), **{name: 2**63})


@pytest.mark.parametrize("name", ["learning_rate_warmup", "alpha_warmup"])
def test_trainer_config_negative_warmup_is_refused(name: str) -> None:
    with pytest.raises(SaeError, match=rf"^trainer\.{name} must not be negative, but got -1\.$"):
        dataclasses.replace(TrainerConfig(), **{name: -1})


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_trainer_config_decay_outside_the_run_is_refused(fraction: float) -> None:
    with pytest.raises(SaeError, match=r"^trainer\.decay_fraction must lie between 0 and 1"):
        TrainerConfig(decay_fraction=fraction)


def test_trainer_config_learning_rate_nan_is_refused() -> None:
    with pytest.raises(SaeError, match=r"^trainer\.learning_rate must be positive, but got nan"):
        TrainerConfig(learning_rate=float("nan"))


@pytest.mark.parametrize("tokens", [0, 1])
def test_trainer_config_held_out_tokens_without_a_variance_are_refused(tokens: int) -> None:
    with pytest.raises(SaeError, match=r"^trainer\.held_out_tokens must be at least 2.* got"):
        TrainerConfig(held_out_tokens=tokens)


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_trainer_config_checkpoint_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(SaeError, match=rf"^trainer\.checkpoint_share .*, but got {share}\.$"):
        TrainerConfig(checkpoint_share=share)
