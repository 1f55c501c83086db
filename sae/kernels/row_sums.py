"""Sums of rows and products with rows, some of many. Needs numba.

Rows are float32 [N, D], or bfloat16 in words [N, D / 2] of two (see `pack_row`): numbers k and
k + D / 2 in the lower and upper half of word k. Then a register full of words becomes two of
float32 by a shift and a mask, and both sums lie in order.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import (
    FASTMATH,
    compiled,
    float_of_bits,
    overload,
    rounded,
    types,
)
from sae.kernels.pairs import WORDS, add_pairs, has_pairs, multiply_pairs

UPPER = np.uint32(0xFFFF0000)
SHIFT = np.uint32(16)


@compiled
def pack_row(row_D: Any, words: Any) -> None:
    """Rounds a row to bfloat16, two in a word."""
    half = words.shape[0]
    low, high = row_D[:half], row_D[half:]
    for k in range(half):
        words[k] = (rounded(low[k]) >> SHIFT) | (rounded(high[k]) & UPPER)


@compiled
def sum_of_squares(row_D: Any) -> Any:
    """Of a row of floats."""
    total = np.float32(0)
    for column in range(row_D.shape[0]):
        total += row_D[column] * row_D[column]
    return total


def add_rows(out_D: Any, rows: Any, indices: Any, weights: Any, count: Any) -> Any:
    """Adds `weights[k] * rows[indices[k]]` for the first `count` k to `out_D`."""
    raise NotImplementedError


def dot_rows(weights: Any, rows: Any, indices: Any, row_D: Any, added: Any, count: Any) -> Any:
    """Sets `weights[k]` to `rows[indices[k]] . row_D + added`; returns their sum."""
    raise NotImplementedError


def _add_floats(out_D: Any, rows: Any, indices: Any, weights: Any, count: Any) -> Any:
    done = 0
    while done + 4 <= count:
        a, b, c, d = indices[done], indices[done + 1], indices[done + 2], indices[done + 3]
        p, q, r, s = weights[done], weights[done + 1], weights[done + 2], weights[done + 3]
        for column in range(out_D.shape[0]):
            out_D[column] += (p * rows[a, column] + q * rows[b, column]) + (
                r * rows[c, column] + s * rows[d, column]
            )
        done += 4
    while done < count:
        a, p = indices[done], weights[done]
        for column in range(out_D.shape[0]):
            out_D[column] += p * rows[a, column]
        done += 1


def _add_words(out_D: Any, rows: Any, indices: Any, weights: Any, count: Any) -> Any:
    half, done = rows.shape[1], 0
    low, high = out_D[:half], out_D[half:]
    while done + 4 <= count:
        a, b, c, d = indices[done], indices[done + 1], indices[done + 2], indices[done + 3]
        p, q, r, s = weights[done], weights[done + 1], weights[done + 2], weights[done + 3]
        for k in range(half):
            t, u, v, w = rows[a, k], rows[b, k], rows[c, k], rows[d, k]
            low[k] += (p * lower(t) + q * lower(u)) + (r * lower(v) + s * lower(w))
            high[k] += (p * upper(t) + q * upper(u)) + (r * upper(v) + s * upper(w))
        done += 4
    while done < count:
        a, p = indices[done], weights[done]
        for k in range(half):
            t = rows[a, k]
            low[k] += p * lower(t)
            high[k] += p * upper(t)
        done += 1


def _dot_floats(weights: Any, rows: Any, indices: Any, row_D: Any, added: Any, count: Any) -> Any:
    total, done = np.float32(0), 0
    while done + 4 <= count:
        a, b, c, d = indices[done], indices[done + 1], indices[done + 2], indices[done + 3]
        p, q, r, s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for column in range(row_D.shape[0]):
            value = row_D[column]
            p += value * rows[a, column]
            q += value * rows[b, column]
            r += value * rows[c, column]
            s += value * rows[d, column]
        p, q, r, s = p + added, q + added, r + added, s + added
        weights[done], weights[done + 1], weights[done + 2], weights[done + 3] = p, q, r, s
        total += (p + q) + (r + s)
        done += 4
    while done < count:
        a, p = indices[done], np.float32(0)
        for column in range(row_D.shape[0]):
            p += row_D[column] * rows[a, column]
        weights[done] = p + added
        total += weights[done]
        done += 1
    return total


def _dot_words(weights: Any, rows: Any, indices: Any, row_D: Any, added: Any, count: Any) -> Any:
    half, total, done = rows.shape[1], np.float32(0), 0
    low, high = row_D[:half], row_D[half:]
    while done + 4 <= count:
        a, b, c, d = indices[done], indices[done + 1], indices[done + 2], indices[done + 3]
        p, q, r, s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for k in range(half):
            x, y = low[k], high[k]
            t, u, v, w = rows[a, k], rows[b, k], rows[c, k], rows[d, k]
            p += x * lower(t) + y * upper(t)
            q += x * lower(u) + y * upper(u)
            r += x * lower(v) + y * upper(v)
            s += x * lower(w) + y * upper(w)
        p, q, r, s = p + added, q + added, r + added, s + added
        weights[done], weights[done + 1], weights[done + 2], weights[done + 3] = p, q, r, s
        total += (p + q) + (r + s)
        done += 4
    while done < count:
        a, p = indices[done], np.float32(0)
        for k in range(half):
            t = rows[a, k]
            p += low[k] * lower(t) + high[k] * upper(t)
        weights[done] = p + added
        total += weights[done]
        done += 1
    return total


def _add_pairs(out_D: Any, rows: Any, indices: Any, weights: Any, count: Any) -> Any:
    half = rows.shape[1]
    if half % WORDS != 0:
        add_words(out_D, rows, indices, weights, count)
        return
    low, high = out_D.ctypes.data, out_D[half:].ctypes.data
    lists = indices.ctypes.data, weights.ctypes.data
    add_pairs(low, high, rows.ctypes.data, half, lists[0], lists[1], count)


def _dot_pairs(weights: Any, rows: Any, indices: Any, row_D: Any, added: Any, count: Any) -> Any:
    half, total = rows.shape[1], np.float32(0)
    if half % WORDS != 0:
        return dot_words(weights, rows, indices, row_D, added, count)
    weights[:count] = added
    low, high = row_D.ctypes.data, row_D[half:].ctypes.data
    lists = indices.ctypes.data, weights.ctypes.data
    multiply_pairs(low, high, rows.ctypes.data, half, lists[0], lists[1], count)
    for k in range(count):
        total += weights[k]
    return total


@compiled
def lower(word: Any) -> Any:
    """The float32 of the bfloat16 in the lower half of a word."""
    return float_of_bits(np.uint32(word << SHIFT))


@compiled
def upper(word: Any) -> Any:
    """The float32 of the bfloat16 in the upper half of a word."""
    return float_of_bits(np.uint32(word & UPPER))


add_words, dot_words = compiled(_add_words), compiled(_dot_words)


# ruff: noqa: ARG001 - numba wants an overload to name all arguments.
@overload(add_rows, jit_options={"fastmath": FASTMATH})
def _add(out_D: Any, rows: Any, indices: Any, weights: Any, count: Any) -> Any:
    if rows.dtype != types.uint32:
        return _add_floats
    return _add_pairs if has_pairs() else _add_words


@overload(dot_rows, jit_options={"fastmath": FASTMATH})
def _dot(weights: Any, rows: Any, indices: Any, row_D: Any, added: Any, count: Any) -> Any:
    if rows.dtype != types.uint32:
        return _dot_floats
    return _dot_pairs if has_pairs() else _dot_words
