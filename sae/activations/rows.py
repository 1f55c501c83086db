"""Rows of activations spread over blocks, in memory or memory-mapped.

Shapes: N rows in all, B rows of a batch, D = d_in.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Rows:
    """One table of activations [N, d_in] and its document ids [N], cut into blocks."""

    def __init__(self, blocks: Sequence[Tensor], document_ids: Sequence[Tensor]) -> None:
        """Joins blocks without copying them.

        Args:
            blocks: Activations [n_i, d_in], any float type; may be memory-mapped.
            document_ids: int64 [n_i], one for each block.
        """
        self._blocks = tuple(blocks)
        self._document_ids = tuple(document_ids)
        sizes = torch.tensor([block.shape[0] for block in blocks], dtype=torch.int64)
        self._ends = sizes.cumsum(dim=0)
        self._starts = (self._ends - sizes).tolist()

    def __len__(self) -> int:
        """Rows in all blocks together."""
        return int(self._ends[-1]) if self._blocks else 0

    def gather(self, indices_B: Tensor) -> Tensor:
        """Copies the named rows, in the order named.

        Args:
            indices_B: int64 [batch], each from 0 to N - 1.

        Returns:
            float32 [batch, d_in], contiguous and the caller's own.
        """
        if len(self._blocks) == 1:
            return self._blocks[0].index_select(0, indices_B).float()
        d_in = self._blocks[0].shape[1]
        rows_BD = torch.empty(len(indices_B), d_in, dtype=torch.float32)
        block_B = torch.bucketize(indices_B, self._ends, right=True)
        for number, (block, start) in enumerate(zip(self._blocks, self._starts, strict=True)):
            places = (block_B == number).nonzero().squeeze(1)
            if len(places):
                rows_BD[places] = block.index_select(0, indices_B[places] - start).float()
        return rows_BD

    def document_ids(self, indices_B: Tensor) -> Tensor:
        """Document ids of the named rows, int64 [batch]."""
        return torch.cat(self._document_ids)[indices_B]

    def blocks(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Pairs of activations [n_i, d_in] as stored and document ids [n_i]."""
        return tuple(zip(self._blocks, self._document_ids, strict=True))
