"""How strong a latent must be to be among its token's strongest, without sorting.

The search goes by keys, the upper halves of strengths' bits, which are in the same order and half
as much to read: first the key that the threshold has, then the threshold among the strengths that
have it. Strength is (z + bias) * norm, and only positive strengths count. Shape letters: B batch,
F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import (
    LINE,
    bits_of_float,
    carray,
    compiled,
    equal_bits,
    float_of_bits,
    kernel,
    lowest_bit,
    next_piece,
    pointer,
    prefetch,
    widen,
)
from sae.kernels.marks import LAST
from sae.kernels.row_sums import SHIFT
from sae.kernels.sparse import AHEAD

TILE = 64
"""Tokens that are searched together: their keys are 512 KB at latent_dim 4096, which a core's
cache holds (assumption: of one megabyte)."""
INFINITE = 0x7F80
"""The key of infinity; what is not a number has a higher one."""
REACH = 512
"""How far below a token's highest key its threshold is looked for first, doubled until found: a
factor of sixteen (assumption), since 128 keys are a factor of two."""
ROWS_AT_ONCE = 32768
"""Latents whose number 16 bits hold."""
LOWER_BITS = np.uint32(0xFFFF)


@compiled
def strength_of(latent: Any, bias: Any, norm: Any) -> Any:
    """How strong a latent is."""
    return (widen(latent) + bias) * norm


@compiled
def key_of(strength: Any) -> Any:
    """The key of a strength, zero where it is not positive."""
    key = np.uint16(bits_of_float(strength) >> SHIFT)
    return np.uint16(0) if strength <= np.float32(0) else key


@compiled
def copy_keys(latents: Any, bias: Any, norms: Any, first: int, keys: Any) -> None:
    """The keys of all latents for a tile of tokens from one on; zero beyond the batch."""
    (rows, batch), size = latents.shape, latents.itemsize
    # Unsigned, since the compiler must allow for a negative index otherwise.
    start, tokens = np.uint64(first), np.uint64(min(TILE, batch - first))
    if tokens < TILE:
        keys[:] = 0
    for row in range(rows):
        ahead = latents.ctypes.data + ((row + AHEAD) * batch + first) * size
        for line in range(0, TILE * size, LINE):
            prefetch(ahead + line)
        for token in range(tokens):
            strength = strength_of(latents[row, start + token], bias[row], norms[row])
            keys[row, token] = key_of(strength)


@compiled
def higher(key: Any, other: Any) -> Any:
    """The higher of two keys."""
    return key if key > other else other  # noqa: FURB136 - of numba's it makes wider integers


@compiled
def raise_to_highest(keys: Any, highest: Any) -> None:
    """Sets `highest` to the highest key of each token, at most that of infinity."""
    highest[:] = np.uint16(0)
    row = 0
    while row + 4 <= keys.shape[0]:
        for token in range(TILE):
            first = higher(keys[row, token], keys[row + 1, token])
            second = higher(keys[row + 2, token], keys[row + 3, token])
            highest[token] = higher(highest[token], higher(first, second))
        row += 4
    while row < keys.shape[0]:
        for token in range(TILE):
            highest[token] = higher(highest[token], keys[row, token])
        row += 1
    for token in range(TILE):
        highest[token] = min(highest[token], INFINITE)


@compiled
def count_reaching(keys: Any, limits: Any, some: Any, counts: Any) -> None:
    """How many keys of each token are not below its limit."""
    zero, one = np.uint16(0), np.uint16(1)
    counts[:] = 0
    for start in range(0, keys.shape[0], ROWS_AT_ONCE):
        some[:] = zero
        row, stop = start, min(start + ROWS_AT_ONCE, keys.shape[0])
        while row + 4 <= stop:
            for token in range(TILE):
                limit = limits[token]
                a = zero if keys[row, token] < limit else one
                b = zero if keys[row + 1, token] < limit else one
                c = zero if keys[row + 2, token] < limit else one
                d = zero if keys[row + 3, token] < limit else one
                some[token] += np.uint16((a + b) + (c + d))
            row += 4
        while row < stop:
            for token in range(TILE):
                some[token] += zero if keys[row, token] < limits[token] else one
            row += 1
        for token in range(TILE):
            counts[token] += some[token]


@compiled
def set_middles(low: Any, high: Any, reach: int, limits: Any) -> Any:
    """Sets the limits to be tried next, within `reach` of the upper ends; whether any is left."""
    is_open = False
    for token in range(TILE):
        bottom, top = np.int64(low[token]), np.int64(high[token])
        limits[token] = max((bottom + top) // 2, top - reach)
        is_open |= top - bottom > 1
    return is_open


@compiled
def search_keys(keys: Any, wanted: int, low: Any, high: Any, memory: Any) -> None:
    """Sets `low` to the highest key that `wanted` latents of each token reach; zero if none."""
    limits, some, counts = memory
    raise_to_highest(keys, high)
    for token in range(TILE):
        low[token] = 0
        high[token] += np.uint16(1)
    reach = REACH
    while set_middles(low, high, reach, limits):
        count_reaching(keys, limits, some, counts)
        for token in range(TILE):
            if counts[token] >= wanted:
                low[token] = max(low[token], limits[token])
            else:
                high[token] = limits[token]
        reach *= 2


@compiled
def strength_with_key(key: Any, strengths: Any, wanted: int) -> Any:
    """The highest strength of a key that `wanted` of the strengths reach; all have that key."""
    low, high = np.uint32(0), LOWER_BITS + np.uint32(1)
    first = np.uint32(key) << SHIFT
    while high - low > 1:
        middle = np.uint32((low + high) // np.uint32(2))
        limit, count = float_of_bits(np.uint32(first | middle)), 0
        for place in range(strengths.shape[0]):
            count += strengths[place] >= limit
        if count >= wanted:
            low = middle
        else:
            high = middle
    return float_of_bits(np.uint32(first | low))


@compiled
def list_strengths(
    latents: Any, factors: Any, keys: Any, wanted_keys: Any, first: int, lists: Any
) -> None:
    """Lists each token's strengths that have its key; of tokens whose key is zero none."""
    (bias, norms), (strengths, counts) = factors, lists
    is_wanted = np.uint64(0)
    for token in range(TILE):
        counts[token] = 0
        is_wanted |= np.uint64(wanted_keys[token] != 0) << np.uint64(token)
    keys_at, wanted_at, row_bytes = keys.ctypes.data, wanted_keys.ctypes.data, TILE * keys.itemsize
    for row in range(keys.shape[0]):
        bits = equal_bits(keys_at + row * row_bytes, wanted_at, np.uint16(0)) & is_wanted
        while bits != 0:
            token = lowest_bit(bits)
            strength = strength_of(latents[row, first + token], bias[row], norms[row])
            strengths[token, counts[token]] = strength
            counts[token] += 1
            bits &= bits - LAST


@kernel
def token_thresholds(address: Any) -> None:
    """`thresholds`: the strength that `wanted` latents of each token reach.

    Zero where fewer are above zero; more latents reach it only where some are equally strong.
    """
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    norms = carray(pointer(table.norms), shape[0], np.float32)
    thresholds = carray(pointer(table.thresholds), shape[1], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    keys = np.zeros((shape[0], TILE), np.uint16)
    strengths = np.empty((TILE, shape[0]), np.float32)
    low, high = np.empty(TILE, np.uint16), np.empty(TILE, np.uint16)
    limits, some = np.empty(TILE, np.uint16), np.empty(TILE, np.uint16)
    counts, found = np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    while True:
        first = next_piece(table.next_piece) * TILE
        if first >= shape[1]:
            return
        if table.half:
            copy_keys(halves, bias, norms, first, keys)
        else:
            copy_keys(floats, bias, norms, first, keys)
        search_keys(keys, table.wanted, low, high, (limits, some, counts))
        for token in range(TILE):
            limits[token] = low[token] + np.uint16(1)
        count_reaching(keys, limits, some, counts)
        if table.half:
            list_strengths(halves, (bias, norms), keys, low, first, (strengths, found))
        else:
            list_strengths(floats, (bias, norms), keys, low, first, (strengths, found))
        for token in range(min(TILE, shape[1] - first)):
            threshold = np.float32(0)
            if low[token] != 0:
                missing, listed = table.wanted - counts[token], strengths[token, : found[token]]
                threshold = strength_with_key(low[token], listed, missing)
            thresholds[first + token] = threshold
