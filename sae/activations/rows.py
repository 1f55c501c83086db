"""Rows of activations spread over blocks, in memory or memory-mapped.

Shapes: N rows in all, B rows of a batch, P rows of several batches, D = d_in.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from sae.activations.canonical import CanonicalUnits
from sae.activations.feeding import FOR_THE_CPU, Feeding, written_batches
from sae.activations.one_ahead import one_ahead
from sae.activations.shuffling import shuffled_indices
from sae.errors import SaeError

POOL_BYTES = 16 * 2**20
"""Rows read together. Measured: benchmarks/feeding.py; more leaves the processor's caches."""


class Rows:
    """One table of activations [N, d_in] and its document ids [N], cut into blocks."""

    def __init__(
        self,
        blocks: Sequence[Tensor],
        document_ids: Sequence[Tensor],
        names: Sequence[str] = (),
    ) -> None:
        """Joins blocks without copying them.

        Args:
            blocks: Activations [n_i, d_in], any float type; may be memory-mapped.
            document_ids: int64 [n_i], one for each block.
            names: What messages call the blocks; their numbers where none are given.
        """
        self._blocks = tuple(blocks)
        self._names = tuple(names) or tuple(f"block {i}" for i in range(len(self._blocks)))
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
        rows_BD, rank_B = self._read_in_order(indices_B)
        return rows_BD.index_select(0, rank_B)

    def batches(
        self,
        batch_size: int,
        seed: int,
        start_step: int,
        units: CanonicalUnits,
        feeding: Feeding = FOR_THE_CPU,
    ) -> Iterator[Tensor]:
        """Batches without end; each epoch is a new permutation of all rows.

        Batch number `step` depends on `seed` and `step` only.

        Args:
            batch_size: Rows of a batch, at most those there are.
            seed: Of the permutations.
            start_step: Number of the first batch.
            units: What the rows are converted to.
            feeding: Where they are written, and by how many threads; without numba it is
                `FOR_THE_CPU`, which gives the same numbers.

        Returns:
            float32 [batch_size, d_in], contiguous and the caller's own.
        """
        indices = shuffled_indices(len(self), batch_size, seed, start_step)
        if find_spec("numba") is not None and all(_is_plain(block) for block in self._blocks):
            return self._compiled_batches(indices, units, feeding)
        return self._pooled_batches(indices, batch_size, units)

    def _compiled_batches(
        self, indices: Iterator[Tensor], units: CanonicalUnits, feeding: Feeding
    ) -> Iterator[Tensor]:
        """From the blocks into each batch in one pass."""
        from sae.kernels.gathering import gather_rows

        addresses = np.array([block.data_ptr() for block in self._blocks])
        starts, mean_D = np.array(self._starts), units.mean.numpy()
        scale = np.float32(units.scale)

        def write(indices_B: Tensor, batch_BD: Tensor) -> None:
            gather_rows(addresses, starts, indices_B.numpy(), mean_D, scale, batch_BD.numpy())

        # A generator's frame holds the blocks for as long as their addresses are read.
        yield from written_batches(indices, len(mean_D), write, feeding)

    def _pooled_batches(
        self, indices: Iterator[Tensor], batch_size: int, units: CanonicalUnits
    ) -> Iterator[Tensor]:
        """The rows of several batches together, as stored, while the batches before are used."""
        row_bytes = self._blocks[0].shape[1] * torch.float32.itemsize
        pool_rows = min(POOL_BYTES // row_bytes, len(self))
        n_batches = max(1, pool_rows // batch_size)
        for pool_PD, rank_P in one_ahead(self._pools(indices, n_batches)):
            for rank_B in rank_P.split(batch_size):
                yield units.convert(pool_PD.index_select(0, rank_B))

    def _pools(self, indices: Iterator[Tensor], n_batches: int) -> Iterator[tuple[Tensor, Tensor]]:
        # One is read while the other is used. The system would have to clear new memory for
        # every pool before it is filled.
        buffers: list[Tensor | None] = [None, None]
        while True:
            indices_P = torch.cat([next(indices) for _ in range(n_batches)])
            pool_PD, rank_P = self._read_in_order(indices_P, buffers[0])
            buffers = [buffers[1], pool_PD]
            yield pool_PD, rank_P

    def _read_in_order(
        self, indices_B: Tensor, buffer_BD: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The named rows in the order in which they are stored, and each index's place there.

        Far fewer and longer jumps than in the order named: measured by benchmarks/feeding.py.

        Args:
            indices_B: The rows.
            buffer_BD: Where they go; new memory when None.
        """
        sorted_B, order_B = indices_B.sort()
        rows_BD = buffer_BD
        if rows_BD is None:
            rows_BD = torch.empty(len(indices_B), self._blocks[0].shape[1], dtype=torch.float32)
        highs = torch.searchsorted(sorted_B, self._ends).tolist()
        low = 0
        for block, start, high in zip(self._blocks, self._starts, highs, strict=True):
            if high > low:
                local_N = sorted_B[low:high] - start
                if block.dtype is torch.float32:
                    torch.index_select(block, 0, local_N, out=rows_BD[low:high])
                else:
                    rows_BD[low:high] = block.index_select(0, local_N)
            low = high
        rank_B = torch.empty_like(order_B)
        rank_B[order_B] = torch.arange(len(order_B))
        return rows_BD, rank_B

    def document_ids(self, indices_B: Tensor) -> Tensor:
        """Document ids of the named rows, int64 [batch]."""
        return torch.cat(self._document_ids)[indices_B]

    def require_finite(self) -> None:
        """Reads every row.

        Raises:
            SaeError: A row holds NaN or infinity; names its block and its number there.
        """
        for name, rows_ND in zip(self._names, self._blocks, strict=True):
            if (row := first_non_finite_row(rows_ND)) is not None:
                raise SaeError(f"{name} must be finite, but row {row} is not.")

    def require_finite_batches(
        self, batch_size: int, seed: int, first_step: int, last_step: int
    ) -> None:
        """Reads the batches that steps of a run trained on once more.

        Args:
            batch_size: As `batches` was given it.
            seed: As `batches` was given it.
            first_step: The first batch read.
            last_step: The last.

        Raises:
            SaeError: One of their rows holds NaN or infinity; names block and row.
        """
        indices = shuffled_indices(len(self), batch_size, seed, first_step)
        for indices_B in islice(indices, last_step - first_step + 1):
            if (position := first_non_finite_row(self.gather(indices_B))) is not None:
                index = indices_B[position]
                block = int(torch.searchsorted(self._ends, index, right=True))
                row = int(index) - self._starts[block]
                raise SaeError(f"{self._names[block]} must be finite, but row {row} is not.")

    def blocks(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Pairs of activations [n_i, d_in] as stored and document ids [n_i]."""
        return tuple(zip(self._blocks, self._document_ids, strict=True))


def _is_plain(block: Tensor) -> bool:
    """Whether its rows lie in memory as the compiled loop reads them."""
    return block.dtype is torch.float32 and block.is_contiguous()


def first_non_finite_row(rows_ND: Tensor) -> int | None:
    """Number of the first row that holds NaN or infinity; None where all are finite."""
    bad_N = ~rows_ND.isfinite().all(dim=1)
    return int(bad_N.nonzero()[0]) if bool(bad_N.any()) else None
