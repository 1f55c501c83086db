"""The loop from stored rows to a canonical batch, in one pass over both. Needs numba.

Shapes: B rows of a batch, D = d_in.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import LINE, carray, compiled, pointer, prefetch

AHEAD = 16
"""Rows that are fetched ahead: they lie anywhere, so that the processor cannot guess them."""


@compiled
def address_of_row(addresses: Any, starts: Any, index: int, row_bytes: int) -> int:
    """Where a row begins, by the blocks' addresses and the numbers of their first rows."""
    block = np.searchsorted(starts, index, side="right") - 1
    return addresses[block] + (index - starts[block]) * row_bytes


@compiled
def gather_rows(
    addresses: Any, starts: Any, indices: Any, mean: Any, scale: Any, batch: Any
) -> None:
    """Writes (row - mean) * scale for each named row, rounded as two operations of torch are.

    Args:
        addresses: int64, of the blocks: contiguous float32 [n_i, D].
        starts: int64, number of the first row of each block, rising.
        indices: int64 [B], which rows.
        mean: float32 [D].
        scale: float32.
        batch: float32 [B, D], overwritten.
    """
    count, d_in = batch.shape
    row_bytes = d_in * batch.itemsize
    for place in range(count):
        if place + AHEAD < count:
            ahead = address_of_row(addresses, starts, indices[place + AHEAD], row_bytes)
            for line in range(0, row_bytes, LINE):
                prefetch(ahead + line)
        address = address_of_row(addresses, starts, indices[place], row_bytes)
        row = carray(pointer(address), d_in, np.float32)
        for dimension in range(d_in):
            batch[place, dimension] = (row[dimension] - mean[dimension]) * scale
