"""The loops over what is near JumpReLU's thresholds; see `sae.architectures.jumprelu`."""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, next_piece, pointer, widen
from sae.kernels.marks import BLOCK, find_tokens, mark_row, marks_shape
from sae.kernels.row_sums import dot_rows
from sae.kernels.rows import ROWS
from sae.kernels.token_lists import fetch_next_row


@compiled
def near_row(  # noqa: PLR0913 - numba takes no object of several types
    z: Any, gradient: Any, row: int, centre: Any, distance: Any, counts: Any, sums: Any
) -> None:
    """On how many tokens z is nearer to `centre` than `distance`, and the gradient's sum there."""
    count, total, zero = np.float32(0), np.float32(0), np.float32(0)
    for token in range(z.shape[1]):
        is_near = abs(widen(z[row, token]) - centre) < distance
        count += np.float32(1) if is_near else zero
        total += widen(gradient[row, token]) if is_near else zero
    counts[row] = count
    sums[row] = total


@kernel
def near_threshold(address: Any) -> None:
    """`near_row` on all rows of `pre_activations`, into `firings` and `sums`.

    z + bias is compared with `limits`, and near is what is within half of `width`.
    """
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    limits = carray(pointer(table.limits), shape[0], np.float32)
    width = carray(pointer(table.width), 1, np.float32)
    counts = carray(pointer(table.firings), shape[0], np.float32)
    sums = carray(pointer(table.sums), shape[0], np.float32)
    half_z = carray(pointer(table.pre_activations), shape, np.uint16)
    float_z = carray(pointer(table.pre_activations), shape, np.float32)
    halves = carray(pointer(table.latent_gradient), shape, np.uint16)
    floats = carray(pointer(table.latent_gradient), shape, np.float32)
    distance = width[0] / np.float32(2)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            centre = limits[row] - bias[row]
            if table.half:
                near_row(half_z, halves, row, centre, distance, counts, sums)
            else:
                near_row(float_z, floats, row, centre, distance, counts, sums)


@compiled
def flag_near(z: Any, row: int, centre: Any, distance: Any, flags: Any) -> None:
    """Ones where z is nearer to `centre` than `distance`, else zeros."""
    for token in range(z.shape[1]):
        is_near = abs(widen(z[row, token]) - centre) < distance
        flags[0, token] = np.uint16(1) if is_near else np.uint16(0)


@kernel
def near_threshold_sparse(address: Any) -> None:
    """As `near_threshold`, from products of W_dec and `output_rows` on those tokens only."""
    table = carray(address, 1)[0]
    shape, rows_shape = (table.latent_dim, table.batch), (table.batch, table.d_in)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    limits = carray(pointer(table.limits), shape[0], np.float32)
    width = carray(pointer(table.width), 1, np.float32)
    counts = carray(pointer(table.firings), shape[0], np.float32)
    sums = carray(pointer(table.sums), shape[0], np.float32)
    half_z = carray(pointer(table.pre_activations), shape, np.uint16)
    float_z = carray(pointer(table.pre_activations), shape, np.float32)
    W_dec = carray(pointer(table.W_dec), (table.latent_dim, table.d_in), np.float32)
    words = carray(pointer(table.output_rows), (table.batch, table.d_in // 2), np.uint32)
    output = carray(pointer(table.output_rows), rows_shape, np.float32)
    flags = np.empty((1, table.batch), np.uint16)
    marks = np.empty((marks_shape(shape)[0], 1), np.uint64)
    wide = table.batch + BLOCK
    found, values = np.empty(wide, np.int32), np.empty(wide, np.float32)
    distance, zero = width[0] / np.float32(2), np.float32(0)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        last = min(first + ROWS, shape[0])
        for row in range(first, last):
            fetch_next_row(W_dec, row, last)
            centre = limits[row] - bias[row]
            if table.half:
                flag_near(half_z, row, centre, distance, flags)
            else:
                flag_near(float_z, row, centre, distance, flags)
            mark_row(flags, np.uint16(0), 0, marks)
            count = find_tokens(flags, marks, 0, found, values)
            counts[row] = np.float32(count)
            if table.half:
                sums[row] = dot_rows(values, words, found, W_dec[row], zero, count)
            else:
                sums[row] = dot_rows(values, output, found, W_dec[row], zero, count)
