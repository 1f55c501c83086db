"""The products after the encoder's, from the latents above zero only. Needs numba.

With most latents at zero, what a latent adds to x_hat and to the gradients concerns only the
tokens on which it is above zero; `sae.kernels.marks` or `sae.kernels.found` say which. "Rows" are
those of `sae.kernels.row_sums`: float32, or words of two bfloat16. Shape letters: B batch,
D d_in, F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import (
    carray,
    compiled,
    kernel,
    lowest_bit,
    next_piece,
    pointer,
    widen,
)
from sae.kernels.found import PANEL, list_found, lists_of, read_list
from sae.kernels.marks import BLOCK, LAST, fetch_marked, marks_shape
from sae.kernels.row_sums import add_rows, dot_rows, pack_row, sum_of_squares
from sae.kernels.rows import ROWS
from sae.kernels.token_lists import ROUND, fetch_next_row, list_of, list_tokens, room_for_lists
from sae.kernels.weighted_sum import add_row

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
    counts[:] = 0
    for row in range(latents.shape[0]):
        fetch_marked(latents, marks, block, min(row + AHEAD, latents.shape[0] - 1))
        bits = marks[block, row]
        while bits != 0:
            place = lowest_bit(bits)
            count = counts[place]
            found[place, count] = row
            values[place, count] = widen(latents[row, block * BLOCK + place])
            counts[place] = count + 1
            bits &= bits - LAST


@compiled
def read_latents(table: Any, block: int, found: Any, values: Any, counts: Any) -> None:
    """As `list_latents`, where they are listed by token."""
    _, _, by_token, of_tokens = lists_of(table)
    for place in range(min(BLOCK, table.batch - block * BLOCK)):
        token = block * BLOCK + place
        counts[place] = read_list(by_token, of_tokens, token, PANEL, found[place], values[place])


@compiled
def latents_of_block(
    table: Any, latents: Any, block: int, found: Any, values: Any, counts: Any
) -> None:
    """As `list_latents`, from wherever the latents are: `latents` are both kinds, and marks."""
    halves, floats, marks = latents
    if table.found_by_token != 0:
        read_latents(table, block, found, values, counts)
    elif table.half:
        list_latents(halves, marks, block, found, values, counts)
    else:
        list_latents(floats, marks, block, found, values, counts)


@compiled
def tokens_of_round(table: Any, latents: Any, first: int, last: int, lists: Any) -> None:
    """As `list_tokens`, from wherever the latents are: `latents` are both kinds, and marks."""
    halves, floats, marks = latents
    if table.found_by_latent != 0:
        list_found(table, first, last, lists)
    elif table.half:
        list_tokens(halves, marks, first, last, lists)
    else:
        list_tokens(floats, marks, first, last, lists)


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
    """`output_gradient` = 2 (x_hat - x) / B, `output_sums`, and each token's `squares` of errors.

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
    sums = carray(pointer(table.output_sums), (marks_shape(shape)[0], table.d_in), np.float32)
    words = carray(pointer(table.output_rows), (table.batch, table.d_in // 2), np.uint32)
    squares = carray(pointer(table.squares), table.batch, np.float32)
    scale = np.float32(2 / table.batch)
    found, values = np.empty((BLOCK, wide), np.int32), np.empty((BLOCK, wide), np.float32)
    counts = np.empty(BLOCK, np.int64)
    while True:
        block = next_piece(table.next_piece)
        if block >= marks.shape[0]:
            return
        latents_of_block(table, (halves, floats, marks), block, found, values, counts)
        sums[block] = np.float32(0)
        for place in range(min(BLOCK, table.batch - block * BLOCK)):
            token = block * BLOCK + place
            start_error(tokens[token], b_dec, out[token])
            if table.half:
                add_rows(out[token], decoder_words, found[place], values[place], counts[place])
            else:
                add_rows(out[token], decoder, found[place], values[place], counts[place])
            squares[token] = scale_error(out[token], scale)
            add_row(out[token], np.float32(1), sums[block])
            if table.half:
                pack_row(out[token], words[token])


@compiled
def decoder_gradients(  # noqa: PLR0913 - numba takes no object of several types
    output: Any, W_dec: Any, gradient: Any, numbers: Any, lists: Any, first: int, last: int
) -> None:
    """A round's rows of W_dec's gradient with the sums of their squares, and f's gradients.

    Args:
        output: The gradient of x_hat, in rows.
        W_dec: All of it.
        gradient: Written: W_dec's gradient.
        numbers: For each latent what its row of the gradient holds of its row of W_dec, and what
            is added to f's gradients; written: their sum, and the sum of squares.
        lists: Of the round's tokens; written: f's gradients.
        first: Of the round.
        last: Before which it ends.
    """
    row_weights, added, sums, squares = numbers
    for row in range(first, last):
        fetch_next_row(W_dec, row, last)
        fetch_next_row(gradient, row, last)
        tokens, values, slopes, count = list_of(lists, row - first)
        weights_D, out_D = W_dec[row], gradient[row]
        for column in range(out_D.shape[0]):
            out_D[column] = row_weights[row] * weights_D[column]
        sums[row] = dot_rows(slopes, output, tokens, weights_D, added[row], count)
        add_rows(out_D, output, tokens, values, count)
        squares[row] = sum_of_squares(out_D)


@compiled
def encoder_gradients(
    inputs: Any, gradient: Any, squares: Any, lists: Any, first: int, last: int
) -> None:
    """A round's rows of W_enc's gradient; adds the sums of their squares to `squares`.

    Args:
        inputs: x - b_dec, in rows.
        gradient: Written: W_enc's gradient.
        squares: For each latent.
        lists: Of the round's tokens, with the gradients of z there.
        first: Of the round.
        last: Before which it ends.
    """
    for row in range(first, last):
        fetch_next_row(gradient, row, last)
        tokens, _, slopes, count = list_of(lists, row - first)
        out_D = gradient[row]
        for column in range(out_D.shape[0]):
            out_D[column] = np.float32(0)
        add_rows(out_D, inputs, tokens, slopes, count)
        squares[row] += sum_of_squares(out_D)


@compiled
def encode_back(encoder: Any, sums: Any, part_D: Any, first: int, last: int) -> None:
    """A round's rows of the encoder, by what the gradients of their latents sum up to."""
    part_D[:] = np.float32(0)
    for row in range(first, last):
        fetch_next_row(encoder, row, last)
        add_row(encoder[row], sums[row], part_D)


@kernel
def backward(address: Any) -> None:
    """Both weights' gradients with the squares of their rows, `gradient_sums`, and `parts`.

    The latter are of the encoder's rows, a round's by its `gradient_sums`. A row of W_dec's
    gradient starts as `row_weights` times W_dec's row; `added` is added to the gradient of every
    latent above zero.
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
    encoder_halves = carray(pointer(table.encoder), weights_shape, np.uint16)
    encoder_floats = carray(pointer(table.encoder), weights_shape, np.float32)
    rounds = (shape[0] + ROUND - 1) // ROUND
    parts = carray(pointer(table.parts), (rounds, table.d_in), np.float32)
    numbers, lists = (row_weights, added, sums, squares), room_for_lists(table.batch)
    while True:
        piece = next_piece(table.next_piece)
        if piece >= rounds:
            return
        first, last = piece * ROUND, min((piece + 1) * ROUND, shape[0])
        tokens_of_round(table, (halves, floats, marks), first, last, lists)
        if table.half:
            decoder_gradients(output_words, W_dec, decoder, numbers, lists, first, last)
            encoder_gradients(input_words, encoder, squares, lists, first, last)
            encode_back(encoder_halves, sums, parts[piece], first, last)
        else:
            decoder_gradients(output, W_dec, decoder, numbers, lists, first, last)
            encoder_gradients(inputs, encoder, squares, lists, first, last)
            encode_back(encoder_floats, sums, parts[piece], first, last)
