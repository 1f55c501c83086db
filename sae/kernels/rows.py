"""The loops over rows of latents: which are on, with their sums.

Shape letters: B batch, F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, narrow, next_piece, pointer, widen
from sae.kernels.marks import mark_row, marks_shape

ROWS = 32
"""Latents in a piece of work; assumption: enough pieces for any number of cores."""


@compiled
def activate_row(latents: Any, row: int, bias: Any, limit: Any, firings: Any, sums: Any) -> None:
    """Z + bias in place where above a limit, else zero; on how many tokens, and their sum."""
    count, total, zero = np.float32(0), np.float32(0), np.float32(0)
    for token in range(latents.shape[1]):
        value = widen(latents[row, token]) + bias
        value = zero if value <= limit else value
        stored = narrow(value, latents[row, token])
        latents[row, token] = stored
        count += zero if widen(stored) == zero else np.float32(1)
        total += value
    firings[row] = count
    sums[row] = total


@kernel
def activate(address: Any) -> None:
    """`activate_row` on all rows of `latents`, and `mark_row` where wanted."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    limits = carray(pointer(table.limits), shape[0], np.float32)
    firings = carray(pointer(table.firings), shape[0], np.float32)
    sums = carray(pointer(table.sums), shape[0], np.float32)
    marks = carray(pointer(table.marks), marks_shape(shape), np.uint64)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                activate_row(halves, row, bias[row], limits[row], firings, sums)
            else:
                activate_row(floats, row, bias[row], limits[row], firings, sums)
            if table.marks != 0 and table.half:
                mark_row(halves, np.uint16(0), row, marks)
            elif table.marks != 0:
                mark_row(floats, np.uint32(0), row, marks)


@compiled
def mask_row(gradient: Any, latents: Any, row: int, added: Any) -> Any:
    """Adds to the latents' gradient, and zeroes it where they are zero; returns its sum."""
    total, zero = np.float32(0), np.float32(0)
    for token in range(gradient.shape[1]):
        value = widen(gradient[row, token]) + added
        value = zero if widen(latents[row, token]) == zero else value
        gradient[row, token] = narrow(value, gradient[row, token])
        total += value
    return total


@kernel
def mask(address: Any) -> None:
    """`mask_row` on all rows of `latent_gradient`, the sums into `gradient_sums`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    added = carray(pointer(table.added), shape[0], np.float32)
    sums = carray(pointer(table.gradient_sums), shape[0], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    half_gradient = carray(pointer(table.latent_gradient), shape, np.uint16)
    gradient = carray(pointer(table.latent_gradient), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                sums[row] = mask_row(half_gradient, halves, row, added[row])
            else:
                sums[row] = mask_row(gradient, floats, row, added[row])
