"""Latents from their encoder rows, but computed only where they may be on. Needs numba.

Products of whole numbers (`sae.kernels.tiles`) take less time than float32's, and with
bounds of what rounding took (`sae.kernels.fixed_point`) they tell which latents are off, whatever
the exact product is. The others' products are then taken from the float32 rows. So the same
latents are on as if all had been computed, with float32's values. Shape letters: B batch, D d_in,
F latent_dim, P columns of whole numbers.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, lowest_bit, next_piece, pointer
from sae.kernels.fixed_point import (
    LATENT_LIMITS,
    OFFSET,
    SEGMENT,
    TOKEN_LIMITS,
    columns_of,
    round_row,
)
from sae.kernels.marks import BLOCK, LAST, marks_shape
from sae.kernels.tiles import LATENTS, QUAD, TOKENS, screen_tile

ROWS = 16 * LATENTS
"""Latents in a piece of work, whose rows and whole numbers a core's nearer cache holds beside
those of a span; fewer where few latents shall be shared by many cores."""
WITHOUT_SIGN = np.uint32(OFFSET * 0x01010101)
"""Adds `OFFSET` to each byte of a word."""
SPAN = 4
"""Blocks of tokens that are screened before the latents among them are computed, several at a
time, from a nearer cache."""


def whole_tokens_shape(batch: int, d_in: int) -> tuple[int, int, int, int]:
    """Of a batch's whole numbers, bytes without a sign: tiles, quads, tokens, and a quad's."""
    return -(-batch // TOKENS), columns_of(d_in) // QUAD, TOKENS, QUAD


@kernel
def round_tokens(address: Any) -> None:
    """`whole_tokens` and `token_numbers` of `input_rows`; zeros beyond the batch."""
    table = carray(address, 1)[0]
    tiles = (table.batch + TOKENS - 1) // TOKENS
    columns = columns_of(table.d_in)
    inputs = carray(pointer(table.input_rows), (table.batch, table.d_in), np.float32)
    whole = carray(pointer(table.whole_tokens), (tiles, columns // QUAD, TOKENS), np.uint32)
    numbers = carray(pointer(table.token_numbers), (tiles, 3, TOKENS), np.float32)
    row = np.empty(columns, np.int8)
    quads = row.view(np.uint32)
    while True:
        tile = next_piece(table.next_piece)
        if tile >= tiles:
            return
        whole[tile], numbers[tile] = 0, 0
        for place in range(min(TOKENS, table.batch - tile * TOKENS)):
            scale, norm, rest = round_row(inputs[tile * TOKENS + place], row, TOKEN_LIMITS)
            numbers[tile, 0, place] = scale
            numbers[tile, 1, place] = norm + rest
            numbers[tile, 2, place] = rest
            for quad in range(quads.shape[0]):
                whole[tile, quad, place] = quads[quad] ^ WITHOUT_SIGN


@compiled
def list_found(bits: Any, first_block: int, piece: Any, batch: int, pairs: Any) -> int:
    """Lists where a piece's latents may be on, latent by latent; returns how many pairs.

    Args:
        bits: Of a span's blocks.
        first_block: Of the span.
        piece: The first latent, and the one before which it ends.
        batch: Tokens of the whole.
        pairs: Written: latents, and their tokens.
    """
    latents, tokens = pairs
    first, last = piece
    count = 0
    for k in range(last - first):
        for block in range(bits.shape[0]):
            start, left = (first_block + block) * BLOCK, bits[block, k]
            while left != 0:
                token = start + lowest_bit(left)
                if token >= batch:
                    break
                latents[count], tokens[count] = first + k, token
                count += 1
                left &= left - LAST
    return count


@compiled
def multiply_found(inputs: Any, encoder: Any, pairs: Any, values: Any, count: int) -> None:
    """The products of so many pairs' rows, four at a time since one sum waits for itself."""
    latents, tokens = pairs
    done = 0
    while done + 4 <= count:
        a, b, c, d = tokens[done], tokens[done + 1], tokens[done + 2], tokens[done + 3]
        i, j, k, m = latents[done], latents[done + 1], latents[done + 2], latents[done + 3]
        p, q, r, s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for column in range(inputs.shape[1]):
            p += encoder[i, column] * inputs[a, column]
            q += encoder[j, column] * inputs[b, column]
            r += encoder[k, column] * inputs[c, column]
            s += encoder[m, column] * inputs[d, column]
        values[done], values[done + 1], values[done + 2], values[done + 3] = p, q, r, s
        done += 4
    while done < count:
        i, a, p = latents[done], tokens[done], np.float32(0)
        for column in range(inputs.shape[1]):
            p += encoder[i, column] * inputs[a, column]
        values[done] = p
        done += 1


@compiled
def keep_found(written: Any, bias: Any, pairs: Any, values: Any, count: int) -> None:
    """Writes, marks, counts and sums the latents that are above zero.

    Args:
        written: Latents, only there, marks, firings and sums.
        bias: Of all latents.
        pairs: Latents, and their tokens.
        values: Their products.
        count: How many.
    """
    latents, marks, firings, sums = written
    rows, tokens = pairs
    for k in range(count):
        row, token = rows[k], tokens[k]
        value = values[k] + bias[row]
        if value <= np.float32(0):  # which is false of what is no number
            continue
        latents[row, token] = value
        marks[token // BLOCK, row] |= LAST << np.uint64(token % BLOCK)
        firings[row] += np.float32(1)
        sums[row] += value


@compiled
def round_latents(encoder: Any, bias: Any, first: int, piece: Any) -> None:
    """A piece's rows as whole numbers, and what belongs to them; zeros beyond the last latent."""
    whole, starts, numbers, _ = piece
    for k in range(ROWS):
        row = first + k
        if row < encoder.shape[0]:
            scale, norm, rest = round_row(encoder[row], whole[k], LATENT_LIMITS)
            numbers[k, 0], numbers[k, 1], numbers[k, 2] = scale, norm, rest
            numbers[k, 3] = bias[row]
        else:
            whole[k], numbers[k] = 0, 0
        start_sums(whole[k], starts[k])


@compiled
def start_sums(whole_P: Any, starts: Any) -> None:
    """What a segment's two sums start with, so that they end without the tokens' `OFFSET`."""
    for segment in range(starts.shape[0]):
        even, odd = 0, 0
        for k in range(SEGMENT):  # so many that the compiler knows it
            whole = whole_P[segment * SEGMENT + k]
            even += 0 if k & 2 else whole
            odd += whole if k & 2 else 0
        starts[segment, 0], starts[segment, 1] = -OFFSET * even, -OFFSET * odd


@compiled
def screen_span(
    piece: Any, tokens: Any, token_numbers: Any, first_block: int, last_block: int
) -> None:
    """Which of a piece's latents may be on: bits for each block of a span's tokens.

    Args:
        piece: The latents' whole numbers, what their sums start with, what belongs to them, and
            the bits, to be written.
        tokens: Whole numbers, tile by tile.
        token_numbers: Likewise.
        first_block: Of the span.
        last_block: Before which it ends.
    """
    whole, starts, numbers, bits = piece
    tiles, in_block = tokens.shape[0], BLOCK // TOKENS
    tile_bytes = tokens.shape[1] * tokens.shape[2] * tokens.itemsize
    bits[:] = 0
    for tile in range(first_block * in_block, min(last_block * in_block, tiles)):
        block = tile // in_block
        bits_of_tile = bits[block - first_block].ctypes.data + 2 * (tile % in_block)
        for k in range(0, ROWS, LATENTS):
            screen_tile(
                whole[k].ctypes.data, starts[k].ctypes.data, starts.shape[1],
                numbers[k].ctypes.data, tokens.ctypes.data + tile * tile_bytes,
                token_numbers[tile].ctypes.data, bits_of_tile + bits.itemsize * k,
            )  # fmt: skip


@kernel
def activate_found(address: Any) -> None:
    """`latents` where they are above zero, with `marks`, `firings` and `sums`.

    Where they are not above zero, `latents` stay as they were: whoever reads them goes by marks.
    """
    table = carray(address, 1)[0]
    shape, d_in = (table.latent_dim, table.batch), table.d_in
    tiles = (table.batch + TOKENS - 1) // TOKENS
    columns = columns_of(d_in)
    tokens = carray(pointer(table.whole_tokens), (tiles, columns // QUAD, TOKENS), np.uint32)
    token_numbers = carray(pointer(table.token_numbers), (tiles, 3, TOKENS), np.float32)
    inputs = carray(pointer(table.input_rows), (table.batch, d_in), np.float32)
    encoder = carray(pointer(table.encoder), (shape[0], d_in), np.float32)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    firings = carray(pointer(table.firings), shape[0], np.float32)
    sums = carray(pointer(table.sums), shape[0], np.float32)
    marks = carray(pointer(table.marks), marks_shape(shape), np.uint64)
    latents = carray(pointer(table.latents), shape, np.float32)
    whole, numbers = np.empty((ROWS, columns), np.int8), np.empty((ROWS, 4), np.float32)
    bits = np.empty((SPAN, ROWS), np.uint64)
    piece = whole, np.empty((ROWS, columns // SEGMENT, 2), np.int16), numbers, bits
    most = ROWS * SPAN * BLOCK
    pairs = np.empty(most, np.int32), np.empty(most, np.int32)
    values = np.empty(most, np.float32)
    written = latents, marks, firings, sums
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        last = min(first + ROWS, shape[0])
        round_latents(encoder, bias, first, piece)
        firings[first:last], sums[first:last], marks[:, first:last] = 0, 0, 0
        for block in range(0, marks.shape[0], SPAN):
            last_block = min(block + SPAN, marks.shape[0])
            screen_span(piece, tokens, token_numbers, block, last_block)
            count = list_found(bits, block, (first, last), table.batch, pairs)
            multiply_found(inputs, encoder, pairs, values, count)
            keep_found(written, bias, pairs, values, count)
