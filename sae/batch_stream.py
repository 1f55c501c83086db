"""Which batches a run trains on, so that runs on the same ones can share them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.activations.feeding import FOR_A_GPU, FOR_THE_CPU
from sae.device_batches import batches_on


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchStream:
    """Batches without end; those of equal streams are equal."""

    store: ActivationStore
    """By identity: two stores of the same data are two streams."""
    batch_size: int
    """Tokens of a batch."""
    seed: int
    """Of their order."""
    device: torch.device
    """Where they are wanted."""

    def batches(self, start_step: int) -> Iterator[Tensor]:
        """Canonical activations [batch, d_in] on the device, from batch number `start_step` on.

        Raises:
            SaeError: The batch size does not fit the store.
        """
        feeding = FOR_A_GPU if self.device.type == "cuda" else FOR_THE_CPU
        stored = self.store.train_batches(self.batch_size, self.seed, start_step, feeding)
        return batches_on(self.device, stored)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchWanted:
    """What a run in training asks for."""

    stream: BatchStream
    """The same at every step of a run."""
    step: int
    """The batch's number in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What it is given."""

    tokens: Tensor
    """Canonical activations [batch, d_in]; not to be written to, since other runs read it."""
    seconds: float
    """The run's share of the time that reading it took."""
