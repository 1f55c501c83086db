"""Marks: which latents are on, a bit for each of 64 tokens. Needs numba.

They are [blocks of 64 tokens, latent_dim], so that who looks for a token's latents reads one row,
and who looks for a latent's tokens need not read the latents again.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import compiled, nonzero_bits

BLOCK = 64
"""Tokens that a mark is about."""


@compiled
def marks_shape(shape: Any) -> Any:
    """Of the marks of latents [latent_dim, batch]."""
    return (shape[1] + BLOCK - 1) // BLOCK, shape[0]


@compiled
def mark_row(latents: Any, zero: Any, row: int, marks: Any) -> None:
    """Writes a row's marks; `zero` is an unsigned integer of the latents' size."""
    batch = latents.shape[1]
    size = latents.itemsize
    whole = batch // BLOCK
    start = latents.ctypes.data + row * batch * size
    for block in range(whole):
        marks[block, row] = nonzero_bits(start + block * BLOCK * size, zero)
    if whole < marks.shape[0]:
        bits = np.uint64(0)
        for token in range(whole * BLOCK, batch):
            is_on = np.uint64(latents[row, token] != 0)
            bits |= is_on << np.uint64(token - whole * BLOCK)
        marks[whole, row] = bits
