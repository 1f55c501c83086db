"""The products after the encoder's, from the latents above zero only. Needs numba.

With most latents at zero, what a latent adds to x_hat and to the gradients concerns only the
tokens on which it is above zero; `sae.kernels.marks` says which. "Rows" are those of
`sae.kernels.row_sums`: float32, or words of two bfloat16. Shape letters: B batch, D d_in,
F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import (
    LINE,
    carray,
    compiled,
    kernel,
    lowest_bit,
    next_piece,
    pointer,
    prefetch,
    widen,
)
from sae.kernels.marks import BLOCK, LAST, find_tokens, marks_shape
from sae.kernels.row_sums import add_rows, dot_rows, pack_row
from sae.kernels.rows import ROWS

APART = 80
"""Added to a list's length, at least `BLOCK`: so not all lists begin in one set of the cache."""
AHEAD = 16
"""Rows that latents are fetched ahead, since they are too far apart for the processor to guess."""


@kernel
def pack(address: Any) -> None:
    """`packed`: the rows of `source` in words."""
    table = carray(address, 1)[0]
    shape = (table.packed_rows, table.d_in)
    source = carray(pointer(table.source), shape, np.float32)
    packed = carray(pointer(table.packed), (shape[0], shape[1] // 2), np.uint32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            pack_row(source[row], packed[row])


@compiled
def list_latents(
    latents: Any, marks: Any, block: int, found: Any, values: Any, counts: Any
) -> None:
    """Which latents are on at each token of a block, and how far."""
    size = latents.itemsize
    start, row_bytes = latents.ctypes.data + block * BLOCK * size, latents.shape[1] * size
    counts[:] = 0
    for row in range(latents.shape[0]):
        for line in range(0, BLOCK * size, LINE):
            prefetch(start + (row + AHEAD) * row_bytes + line)
        bits = marks[block, row]
        while bits != 0:
            place = lowest_bit(bits)
            count = counts[place]
            found[place, count] = row
            values[place, count] = widen(latents[row, block * BLOCK + place])
            counts[place] = count + 1
            bits &= bits - LAST


@compiled
def start_error(x_D: Any, b_dec: Any, out_D: Any) -> None:
    """The error of a reconstruction to which no latent adds."""
    for column in range(out_D.shape[0]):
        out_D[column] = b_dec[column] - x_D[column]


@compiled
def scale_error(out_D: Any, scale: Any) -> Any:
    """Multiplies the error; returns its square's sum before."""
    total = np.float32(0)
    for column in range(out_D.shape[0]):
        value = out_D[column]
        total += value * value
        out_D[column] = value * scale
    return total


@kernel
def reconstruct(address: Any) -> None:
    """`output_gradient` = 2 (x_hat - x) / B, and `squares`, each token's squared error.

    Where rows are words, `output_rows` is the former in words.
    """
    table = carray(address, 1)[0]
    shape, tokens_shape = (table.latent_dim, table.batch), (table.batch, table.d_in)
    wide = shape[0] + APART
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    marks = carray(pointer(table.marks), marks_shape(shape), np.uint64)
    decoder_words = carray(pointer(table.decoder_rows), (shape[0], table.d_in // 2), np.uint32)
    decoder = carray(pointer(table.decoder_rows), (shape[0], table.d_in), np.float32)
    tokens = carray(pointer(table.tokens), tokens_shape, np.float32)
    b_dec = carray(pointer(table.b_dec), table.d_in, np.float32)
    out = carray(pointer(table.output_gradient), tokens_shape, np.float32)
    words = carray(pointer(table.output_rows), (table.batch, table.d_in // 2), np.uint32)
    squares = carray(pointer(table.squares), table.batch, np.float32)
    scale = np.float32(2 / table.batch)
    found, values = np.empty((BLOCK, wide), np.int32), np.empty((BLOCK, wide), np.float32)
    counts = np.empty(BLOCK, np.int64)
    while True:
        block = next_piece(table.next_piece)
        if block >= marks.shape[0]:
            return
        if table.half:
            list_latents(halves, marks, block, found, values, counts)
        else:
            list_latents(floats, marks, block, found, values, counts)
        for place in range(min(BLOCK, table.batch - block * BLOCK)):
            token = block * BLOCK + place
            start_error(tokens[token], b_dec, out[token])
            if table.half:
                add_rows(out[token], decoder_words, found[place], values[place], counts[place])
            else:
                add_rows(out[token], decoder, found[place], values[place], counts[place])
            squares[token] = scale_error(out[token], scale)
            if table.half:
                pack_row(out[token], words[token])


@compiled
def start_gradients(weight: Any, row_D: Any, decoder_D: Any, encoder_D: Any) -> None:
    """What a latent's gradients are before any token adds to them."""
    for column in range(row_D.shape[0]):
        decoder_D[column] = weight * row_D[column]
    for column in range(row_D.shape[0]):
        encoder_D[column] = np.float32(0)


@compiled
def sum_of_squares(row_D: Any, other_D: Any) -> Any:
    """Of both rows together."""
    total = np.float32(0)
    for column in range(row_D.shape[0]):
        total += row_D[column] * row_D[column] + other_D[column] * other_D[column]
    return total


@compiled
def start_backward(  # noqa: PLR0913 - numba takes no object of several types
    latents: Any,
    marks: Any,
    row: int,
    output: Any,
    weights: Any,
    numbers: Any,
    gradients: Any,
    lists: Any,
) -> Any:
    """What of a latent's gradients comes from x_hat's.

    Args:
        latents: f.
        marks: Where they are on.
        row: The latent.
        output: The gradient of x_hat, in rows.
        weights: The latent's row of W_dec.
        numbers: What W_dec's gradient holds of that row, and what is added to f's gradients.
        gradients: Written: the latent's row of W_dec's gradient; zeroed: that of W_enc's.
        lists: Written: the tokens on which it is on, f there, and f's gradient.

    Returns:
        On how many tokens it is on, and the sum of its gradients.
    """
    found, values, slopes = lists
    start_gradients(numbers[0], weights, gradients[0], gradients[1])
    count = find_tokens(latents, marks, row, found, values)
    total = dot_rows(slopes, output, found, weights, numbers[1], count)
    add_rows(gradients[0], output, found, values, count)
    return count, total


@kernel
def backward(address: Any) -> None:
    """Both weights' gradients with the squares of their rows, and `gradient_sums`.

    A row of W_dec's gradient starts as `row_weights` times W_dec's row; `added` is added to the
    gradient of every latent above zero.
    """
    table = carray(address, 1)[0]
    shape, weights_shape = (table.latent_dim, table.batch), (table.latent_dim, table.d_in)
    rows_shape, words_shape = (table.batch, table.d_in), (table.batch, table.d_in // 2)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    marks = carray(pointer(table.marks), marks_shape(shape), np.uint64)
    output_words = carray(pointer(table.output_rows), words_shape, np.uint32)
    output = carray(pointer(table.output_rows), rows_shape, np.float32)
    input_words = carray(pointer(table.input_rows), words_shape, np.uint32)
    inputs = carray(pointer(table.input_rows), rows_shape, np.float32)
    W_dec = carray(pointer(table.W_dec), weights_shape, np.float32)
    decoder = carray(pointer(table.W_dec_gradient), weights_shape, np.float32)
    encoder = carray(pointer(table.W_enc_gradient), weights_shape, np.float32)
    added = carray(pointer(table.added), shape[0], np.float32)
    sums = carray(pointer(table.gradient_sums), shape[0], np.float32)
    squares = carray(pointer(table.gradient_squares), shape[0], np.float32)
    row_weights = carray(pointer(table.row_weights), shape[0], np.float32)
    wide = table.batch + APART
    found, counts = np.empty((ROWS, wide), np.int32), np.empty(ROWS, np.int64)
    values, slopes = np.empty((ROWS, wide), np.float32), np.empty((ROWS, wide), np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        last = min(first + ROWS, shape[0])
        # In two rounds, since a nearer cache holds the rows of one kind, but not of both.
        for row in range(first, last):
            place, numbers = row - first, (row_weights[row], added[row])
            gradients = decoder[row], encoder[row]
            lists = found[place], values[place], slopes[place]
            if table.half:
                counts[place], sums[row] = start_backward(
                    halves, marks, row, output_words, W_dec[row], numbers, gradients, lists
                )
            else:
                counts[place], sums[row] = start_backward(
                    floats, marks, row, output, W_dec[row], numbers, gradients, lists
                )
        for row in range(first, last):
            place = row - first
            if table.half:
                add_rows(encoder[row], input_words, found[place], slopes[place], counts[place])
            else:
                add_rows(encoder[row], inputs, found[place], slopes[place], counts[place])
            squares[row] = sum_of_squares(decoder[row], encoder[row])
