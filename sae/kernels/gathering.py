"""The loop from stored rows to a canonical batch, in one pass over both. Needs numba.

Shapes: B rows of a batch, D = d_in.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, pointer


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
    for place in range(indices.shape[0]):
        block = np.searchsorted(starts, indices[place], side="right") - 1
        local = indices[place] - starts[block]
        rows = carray(pointer(addresses[block]), (local + 1, batch.shape[1]), np.float32)
        for dimension in range(batch.shape[1]):
            batch[place, dimension] = (rows[local, dimension] - mean[dimension]) * scale
