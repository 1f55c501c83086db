import pytest
import torch

from sae.checkpoint_pace import (
    ASSUMED_BYTES_PER_SECOND,
    CheckpointPace,
    most_checkpoint_seconds,
)
from sae.trainer_config import TrainerConfig


def state_that_takes(seconds: float) -> dict[str, torch.Tensor]:
    """By the rate that is assumed until one is written."""
    return {"w": torch.empty(round(seconds * ASSUMED_BYTES_PER_SECOND / 4), dtype=torch.float32)}


@pytest.mark.parametrize(("run_for", "is_allowed"), [(0.18, False), (0.2, True)])
def test_first_checkpoint_waits_until_its_size_keeps_to_the_share(
    run_for: float, is_allowed: bool
) -> None:
    pace = CheckpointPace(0.05, state_that_takes(0.01))  # 0.19 s of training to 0.01 s
    assert pace.allows(run_for) is is_allowed


def test_share_of_one_allows_every_checkpoint() -> None:
    pace = CheckpointPace(1.0, state_that_takes(0.1))
    assert pace.allows(0.0)


def test_next_checkpoint_waits_by_what_the_last_one_took() -> None:
    pace = CheckpointPace(0.5, state_that_takes(0.01))
    assert not pace.allows(0.005)
    pace.write(lambda: None, lambda: 7.0)  # takes next to nothing, whatever was assumed
    assert pace.allows(7.005)


def test_resumed_run_counts_from_where_it_goes_on() -> None:
    pace = CheckpointPace(0.05, state_that_takes(0.01))
    pace.begin(100.0)
    assert not pace.allows(100.1)
    assert pace.allows(100.2)


@pytest.mark.parametrize(("share", "most"), [(0.05, 1.0), (0.5, 19.0), (1.0, float("inf"))])
def test_most_checkpoint_seconds_are_the_share_of_the_whole_run(share: float, most: float) -> None:
    trainer = TrainerConfig(checkpoint_share=share)
    assert most_checkpoint_seconds(trainer, 19.0) == pytest.approx(most)
