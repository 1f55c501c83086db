"""The loops that count what is strong, and keep it.

Strength is (z + bias) * norm, and only positive strengths count. Shape letters: B batch,
F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import (
    bits_of_float,
    carray,
    compiled,
    float_of_bits,
    kernel,
    narrow,
    next_piece,
    pointer,
    widen,
)
from sae.kernels.marks import mark_row, marks_shape
from sae.kernels.rows import ROWS


@compiled
def keep_row(  # noqa: PLR0913 - numba inlines no object
    latents: Any, row: int, bias: Any, norm: Any, thresholds: Any, firings: Any, sums: Any
) -> None:
    """Z + bias in place where strong enough, else zero; on how many tokens, and their sum."""
    count, total, zero = np.float32(0), np.float32(0), np.float32(0)
    for token in range(latents.shape[1]):
        value = widen(latents[row, token]) + bias
        value = zero if value * norm < thresholds[token] else value
        value = zero if value <= zero else value  # noqa: FURB136 - a maximum would lose NaN
        stored = narrow(value, latents[row, token])
        latents[row, token] = stored
        count += zero if widen(stored) == zero else np.float32(1)
        total += value
    firings[row] = count
    sums[row] = total


@kernel
def keep_strong(address: Any) -> None:
    """`keep_row` on all rows of `latents`, and `mark_row` where wanted."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    norms = carray(pointer(table.norms), shape[0], np.float32)
    thresholds = carray(pointer(table.thresholds), shape[1], np.float32)
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
                keep_row(halves, row, bias[row], norms[row], thresholds, firings, sums)
            else:
                keep_row(floats, row, bias[row], norms[row], thresholds, firings, sums)
            if table.marks != 0 and table.half:
                mark_row(halves, np.uint16(0), row, marks)
            elif table.marks != 0:
                mark_row(floats, np.uint32(0), row, marks)


@compiled
def count_row(latents: Any, row: int, bias: Any, limit: Any) -> Any:
    """On how many tokens z + bias is above a limit; NaN is."""
    count = np.float32(0)
    for token in range(latents.shape[1]):
        value = widen(latents[row, token]) + bias
        count += np.float32(0) if value <= limit else np.float32(1)
    return count


@compiled
def least_of_row(latents: Any, row: int, bias: Any, limit: Any) -> Any:
    """The least z + bias above a limit; infinite where there is none."""
    infinite = bits_of_float(np.float32(np.inf))
    least = infinite  # as bits, whose minimum takes an eighth of the time
    for token in range(latents.shape[1]):
        value = widen(latents[row, token]) + bias
        least = min(least, bits_of_float(value) if value > limit else infinite)
    return float_of_bits(least)


@kernel
def count_above(address: Any) -> None:
    """`firings`: what `rows.activate` would find with these `limits`; changes nothing."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    limits = carray(pointer(table.limits), shape[0], np.float32)
    firings = carray(pointer(table.firings), shape[0], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                firings[row] = count_row(halves, row, bias[row], limits[row])
            else:
                firings[row] = count_row(floats, row, bias[row], limits[row])


@kernel
def least_above(address: Any) -> None:
    """`smallest`: the least z + bias of each row above its one of `limits`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    limits = carray(pointer(table.limits), shape[0], np.float32)
    smallest = carray(pointer(table.smallest), shape[0], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                smallest[row] = least_of_row(halves, row, bias[row], limits[row])
            else:
                smallest[row] = least_of_row(floats, row, bias[row], limits[row])
