"""The one class of activations that the trainer sees.

Shapes: B rows of a batch, D = d_in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sae.activations.canonical import CanonicalUnits
from sae.activations.feeding import FOR_THE_CPU, Feeding
from sae.activations.rows import Rows
from sae.activations.statistics import ActivationStatistics
from sae.errors import SaeError


class TrainingRows(Protocol):
    """Rows to train on: `Rows`, or a `TokenStream` straight from the model."""

    def __len__(self) -> int:
        """Rows of an epoch."""
        ...

    def batches(
        self,
        batch_size: int,
        seed: int,
        start_step: int,
        units: CanonicalUnits,
        feeding: Feeding = FOR_THE_CPU,
    ) -> Iterator[Tensor]:
        """As `Rows.batches`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ActivationStore:
    """Activations to train on, and held-out ones of other documents.

    Canonical units are (raw - mean) * scale, with mean and scale taken over the training tokens,
    so that the mean of ||x||^2 is d_in.

    Raises:
        SaeError: Too few tokens are held out to be measured on.
    """

    name: str
    """Short name for people, such as "all-MiniLM-L6-v2 layer 3"."""
    description: Mapping[str, Any]
    """Where the activations come from (model_name, hook_name, layer, corpus ...); plain JSON."""
    fingerprint: str
    """sha256 over what defines the data; two stores that share it train the same."""
    statistics: ActivationStatistics
    """Moments of the training tokens."""
    train: TrainingRows
    """Training rows, raw."""
    held_out: Rows
    """Held-out rows, raw."""
    dictionary: Tensor | None = None
    """Synthetic data only: the true unit-norm features, float32 [n_features, d_in]."""

    def __post_init__(self) -> None:
        if self.n_held_out < 2:
            raise SaeError(
                f"{self.name} must hold out at least 2 tokens, which have a variance, "
                f"but got {self.n_held_out}."
            )

    @property
    def d_in(self) -> int:
        """Dimensions of an activation."""
        return self.statistics.d_in

    @property
    def summary(self) -> str:
        """What the activations are, for the first lines of a run."""
        return f"{self.name}, d_in {self.d_in}"

    @property
    def n_train(self) -> int:
        """Number of training tokens."""
        return len(self.train)

    @property
    def n_held_out(self) -> int:
        """Number of held-out tokens."""
        return len(self.held_out)

    @property
    def mean(self) -> Tensor:
        """Mean raw activation of the training tokens, float32 [d_in]."""
        return self.statistics.mean.float()

    @property
    def scale(self) -> float:
        """sqrt(d_in / E||raw - mean||^2) over the training tokens."""
        return self.statistics.scale

    @property
    def raw_mean_norm(self) -> float:
        """E||raw|| over the training tokens."""
        return self.statistics.raw_mean_norm

    @property
    def raw_rms_norm(self) -> float:
        """sqrt(E||raw||^2) over the training tokens."""
        return self.statistics.raw_rms_norm

    def train_batches(
        self,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        feeding: Feeding = FOR_THE_CPU,
    ) -> Iterator[Tensor]:
        """Batches without end, in canonical units.

        Each epoch is a new permutation of all training rows, and no row is ever left out. Batch
        number `step` depends on `seed` and `step` only, so that a run resumes with `start_step`.

        Args:
            batch_size: Rows of a batch.
            seed: Seed of the permutations.
            start_step: Number of the first batch.
            feeding: How batches are written; a stream writes them one way.

        Returns:
            Contiguous float32 tensors [batch_size, d_in], each the caller's own.

        Raises:
            SaeError: The batch size is not positive or above the training rows, or `start_step`
                is negative.
        """
        self.require_batch_size(batch_size)
        if start_step < 0:
            raise SaeError(f"start_step must not be negative, but got {start_step}.")
        units = CanonicalUnits(mean=self.mean, scale=self.scale)
        return self.train.batches(batch_size, seed, start_step, units, feeding)

    def require_batch_size(self, batch_size: int) -> None:
        """Raises a SaeError for a batch of no rows, or of more than there are to train on."""
        if not 1 <= batch_size <= self.n_train:
            raise SaeError(
                "trainer.batch_size must be from 1 to the number of training tokens "
                f"({self.n_train}), but got {batch_size}."
            )

    def held_out_batches(
        self, batch_size: int, max_tokens: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Held-out rows in raw units, once, in the order they are stored.

        Extraction stores documents in a shuffled order, so that the first `max_tokens` are a
        sample of all of them.

        Args:
            batch_size: Rows of a batch; the last may have fewer.
            max_tokens: Stop after so many rows; all when None.

        Returns:
            Pairs of float32 [batch, d_in] and int64 document ids [batch].

        Raises:
            SaeError: `batch_size` or `max_tokens` is not positive.
        """
        for key, value in (("batch_size", batch_size), ("max_tokens", max_tokens)):
            if value is not None and value < 1:
                raise SaeError(f"{key} must be positive, but got {value}.")
        count = self.n_held_out if max_tokens is None else min(max_tokens, self.n_held_out)
        return self._held_out(batch_size, count)

    def require_finite_batches(
        self, batch_size: int, seed: int, first_step: int, last_step: int
    ) -> None:
        """As `Rows.require_finite_batches`; of a stream no rows are kept to look at."""
        if isinstance(self.train, Rows):
            self.train.require_finite_batches(batch_size, seed, first_step, last_step)

    def _held_out(self, batch_size: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        for indices_B in torch.arange(count).split(batch_size):
            yield self.held_out.gather(indices_B), self.held_out.document_ids(indices_B)
