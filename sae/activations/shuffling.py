"""The order in which training rows are seen: a new permutation of all of them every epoch.

Shapes: B rows of a batch, P rows of a pool.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from sae.seeding import generator


def shuffled_indices(rows: int, batch_size: int, seed: int, start_step: int) -> Iterator[Tensor]:
    """Cuts the endless sequence of permutations of range(rows) into batches of indices.

    Epochs follow one another without a gap: where the batch size does not divide the rows, a
    batch holds the end of one permutation and the beginning of the next.

    Args:
        rows: Length of a permutation.
        batch_size: Indices of a batch, at most `rows`.
        seed: Of the permutations.
        start_step: Number of the first batch.
    """
    epoch, offset = divmod(start_step * batch_size, rows)
    permutation = _permutation(rows, seed, epoch)
    while True:
        batch_B = permutation[offset : offset + batch_size]
        offset += batch_size
        if offset >= rows:
            epoch, offset = epoch + 1, offset - rows
            permutation = _permutation(rows, seed, epoch)
            batch_B = torch.cat([batch_B, permutation[: batch_size - len(batch_B)]])
        yield batch_B


def _permutation(rows: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(rows, generator=generator(seed, f"activations/epoch {epoch}"))
