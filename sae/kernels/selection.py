"""The loops that find how strong a latent must be to be among the strongest, without sorting.

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

TILE = 64
"""Tokens whose strengths are searched together: 1 MB at latent_dim 4096, which a core's cache
holds (assumption: of two megabytes)."""
HALVINGS = 40
"""Of the interval that holds a token's threshold; more than float32 can tell apart."""


@compiled
def copy_strengths(latents: Any, row: int, bias: Any, norm: Any, first: int, out: Any) -> None:
    """The strengths of one latent for a tile of tokens."""
    for token in range(out.shape[1]):
        out[row, token] = (widen(latents[row, first + token]) + bias) * norm


@compiled
def raise_to_highest(strengths: Any, highest: Any) -> None:
    """Sets `highest` to the highest strength of each token, or to zero."""
    highest[:] = np.float32(0)
    for row in range(strengths.shape[0]):
        for token in range(strengths.shape[1]):
            value, before = strengths[row, token], highest[token]
            highest[token] = value if value > before else before  # noqa: FURB136 - NaN


@compiled
def count_strong(strengths: Any, thresholds: Any, counts: Any) -> None:
    """How many strengths of each token are not below its threshold; NaN is not."""
    zero, one = np.float32(0), np.float32(1)
    counts[:] = zero
    row = 0
    while row + 4 <= strengths.shape[0]:
        for token in range(strengths.shape[1]):
            threshold = thresholds[token]
            a = zero if strengths[row, token] < threshold else one
            b = zero if strengths[row + 1, token] < threshold else one
            c = zero if strengths[row + 2, token] < threshold else one
            d = zero if strengths[row + 3, token] < threshold else one
            counts[token] += (a + b) + (c + d)
        row += 4
    while row < strengths.shape[0]:
        for token in range(strengths.shape[1]):
            counts[token] += zero if strengths[row, token] < thresholds[token] else one
        row += 1


@compiled
def halve(low: Any, high: Any, counts: Any, middle: Any, wanted: int) -> bool:
    """Moves one end of each token's interval to its middle; whether all have what is wanted."""
    is_done = True
    for token in range(low.shape[0]):
        if counts[token] >= wanted:
            low[token] = middle[token]
        if counts[token] <= wanted:
            high[token] = middle[token]
        is_done = is_done and counts[token] == wanted
    return is_done


@kernel
def token_thresholds(address: Any) -> None:
    """`thresholds`: the strength that `wanted` latents of each token reach, by bisection.

    Zero where fewer are above zero; more latents reach it only where some are equally strong.
    """
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    norms = carray(pointer(table.norms), shape[0], np.float32)
    thresholds = carray(pointer(table.thresholds), shape[1], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    memory = np.empty(shape[0] * TILE, np.float32)
    high, middle = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    counts = np.empty(TILE, np.float32)
    while True:
        first = next_piece(table.next_piece) * TILE
        if first >= shape[1]:
            return
        tokens = min(TILE, shape[1] - first)
        strengths = memory[: shape[0] * tokens].reshape(shape[0], tokens)
        low, top, now = thresholds[first : first + tokens], high[:tokens], middle[:tokens]
        for row in range(shape[0]):
            if table.half:
                copy_strengths(halves, row, bias[row], norms[row], first, strengths)
            else:
                copy_strengths(floats, row, bias[row], norms[row], first, strengths)
        raise_to_highest(strengths, top)
        low[:] = np.float32(0)
        for _ in range(HALVINGS):
            now[:] = np.float32(0.5) * (low + top)
            count_strong(strengths, now, counts[:tokens])
            if halve(low, top, counts[:tokens], now, table.wanted):
                break


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
