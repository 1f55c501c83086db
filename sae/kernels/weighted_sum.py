"""The encoder's rows, weighted and summed: a product with a vector, on all threads. Needs numba.

Shape letters: D d_in, F latent_dim, P pieces of rows.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae.kernels.compiling import carray, compiled, kernel, next_piece, pointer, widen
from sae.kernels.launching import Table
from sae.kernels.rows import ROWS


def weighted_row_sum(matrix_FD: Tensor, weights_F: Tensor) -> Tensor:
    """The product weights @ matrix, float32 [D], the same however many threads compute it.

    Args:
        matrix_FD: Contiguous, float32 or bfloat16.
        weights_F: Float32.
    """
    latent_dim, d_in = matrix_FD.shape
    half = matrix_FD.dtype is torch.bfloat16
    parts_PD = torch.empty(-(-latent_dim // ROWS), d_in)
    table = Table(half=half, batch=0, d_in=d_in, latent_dim=latent_dim)
    table.run(add_weighted, encoder=matrix_FD, gradient_sums=weights_F, parts=parts_PD)
    return parts_PD.sum(0)


@compiled
def add_row(row_D: Any, weight: Any, part_D: Any) -> None:
    """Adds a weighted row to a sum."""
    for column in range(row_D.shape[0]):
        part_D[column] += weight * widen(row_D[column])


@kernel
def add_weighted(address: Any) -> None:
    """Each of the `parts`: the sum of as many rows of `encoder`, by `gradient_sums`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.d_in)
    halves = carray(pointer(table.encoder), shape, np.uint16)
    floats = carray(pointer(table.encoder), shape, np.float32)
    weights = carray(pointer(table.gradient_sums), shape[0], np.float32)
    pieces = (shape[0] + ROWS - 1) // ROWS
    parts = carray(pointer(table.parts), (pieces, shape[1]), np.float32)
    while True:
        piece = next_piece(table.next_piece)
        if piece >= pieces:
            return
        parts[piece] = np.float32(0)
        for row in range(piece * ROWS, min((piece + 1) * ROWS, shape[0])):
            if table.half:
                add_row(halves[row], weights[row], parts[piece])
            else:
                add_row(floats[row], weights[row], parts[piece])
