"""How often checkpoints are worth their time.

A short run of a wide SAE on a GPU may take less time than its checkpoints.
"""

import math
import time
from collections.abc import Callable, Mapping

from torch import Tensor

from sae.trainer_config import TrainerConfig

ASSUMED_BYTES_PER_SECOND = 1e9
"""Until one has been written. Assumption: a fast disk, so that no long run waits long for its
first."""


def most_checkpoint_seconds(trainer: TrainerConfig, training_seconds: float) -> float:
    """Seconds that all checkpoints of a run may take, beside those of its training."""
    share = trainer.checkpoint_share
    return math.inf if share == 1 else share / (1 - share) * training_seconds


class CheckpointPace:
    """Lets checkpoints take no more than a share of a run's time."""

    def __init__(self, share: float, tensors: Mapping[str, Tensor]) -> None:
        """Begins with no time spent.

        Args:
            share: Of the run's time, at most 1, which lets every checkpoint be written.
            tensors: What a checkpoint holds.
        """
        self._share = share
        state_bytes = sum(value.nbytes for value in tensors.values())
        self._write_seconds = state_bytes / ASSUMED_BYTES_PER_SECOND
        self._last_end = 0.0

    def allows(self, seconds: float) -> bool:
        """Whether a checkpoint keeps to the share.

        Args:
            seconds: That the run has taken so far, checkpoints included.
        """
        between = self._write_seconds * (1 - self._share) / self._share
        return seconds - self._last_end >= between

    def begin(self, seconds: float) -> None:
        """Counts from here, where a run that was interrupted goes on."""
        self._last_end = seconds

    def write(self, save: Callable[[], None], seconds: Callable[[], float]) -> None:
        """Writes a checkpoint and notes how long that took.

        Args:
            save: Writes it.
            seconds: The run's time so far.
        """
        started = time.monotonic()
        save()
        self._write_seconds = time.monotonic() - started
        self._last_end = seconds()
