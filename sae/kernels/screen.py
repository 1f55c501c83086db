"""Latents from their encoder rows, but computed only where they may be on. Needs numba.

Products of whole numbers (`sae.kernels.tiles`) take half the time of float32's, and with bounds of
what rounding took (`sae.kernels.fixed_point`) they tell which latents are off, whatever the exact
product is. The others' products are then taken from the float32 rows. So the same latents are on
as if all had been computed, with float32's values. Shape letters: B batch, D d_in, F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, fetch, kernel, lowest_bit, next_piece, pointer
from sae.kernels.fixed_point import largest_whole, round_row
from sae.kernels.marks import BLOCK, LAST, marks_shape
from sae.kernels.row_sums import dot_rows
from sae.kernels.tiles import LATENTS, TOKENS, screen_tile

ROWS = 12 * LATENTS
"""Latents in a piece of work, whose rows and whole numbers a core's nearer cache holds beside
those of a span; fewer where few latents shall be shared by many cores."""
SPAN = 8
"""Blocks of tokens that are screened before the latents among them are computed: so their rows
come from a nearer cache, and several at a time."""


@kernel
def round_tokens(address: Any) -> None:
    """`whole_tokens` and `token_numbers` of `input_rows`; zeros beyond the batch."""
    table = carray(address, 1)[0]
    tiles = (table.batch + TOKENS - 1) // TOKENS
    pairs = table.d_in // 2
    inputs = carray(pointer(table.input_rows), (table.batch, table.d_in), np.float32)
    whole = carray(pointer(table.whole_tokens), (tiles, pairs, TOKENS, 2), np.int16)
    numbers = carray(pointer(table.token_numbers), (tiles, 3, TOKENS), np.float32)
    row, largest = np.empty(table.d_in, np.int16), largest_whole(table.d_in)
    while True:
        tile = next_piece(table.next_piece)
        if tile >= tiles:
            return
        whole[tile], numbers[tile] = 0, 0
        for place in range(min(TOKENS, table.batch - tile * TOKENS)):
            scale, norm, rest = round_row(inputs[tile * TOKENS + place], row, largest)
            numbers[tile, 0, place] = scale
            numbers[tile, 1, place] = norm + rest
            numbers[tile, 2, place] = rest
            for pair in range(pairs):
                whole[tile, pair, place, 0] = row[2 * pair]
                whole[tile, pair, place, 1] = row[2 * pair + 1]


@compiled
def list_found(bits: Any, first_block: int, inputs: Any, lists: Any) -> None:
    """Lists the tokens on which each of a piece's latents may be on, and fetches their rows.

    Args:
        bits: Of a span's blocks.
        first_block: Of the span.
        inputs: Rows of the whole batch.
        lists: Written: where each latent's list begins, and the tokens.
    """
    starts, found = lists
    count, row_bytes = 0, inputs.shape[1] * inputs.itemsize
    for k in range(ROWS):
        for block in range(bits.shape[0]):
            start, left = (first_block + block) * BLOCK, bits[block, k]
            while left != 0:
                token = start + lowest_bit(left)
                if token >= inputs.shape[0]:
                    break
                fetch(inputs.ctypes.data + token * row_bytes, row_bytes)
                found[count] = token
                count += 1
                left &= left - LAST
        starts[k + 1] = count


@compiled
def keep_found(latents: Any, row: int, marks: Any, found: Any, values: Any) -> Any:
    """Writes and marks a latent where it is above zero; returns on how many tokens, and its sum.

    Args:
        latents: Written only where they are above zero.
        row: The latent.
        marks: Bits are added.
        found: Tokens.
        values: The latent there.
    """
    on, total, zero = np.float32(0), np.float32(0), np.float32(0)
    for k in range(len(found)):
        value, token = values[k], found[k]
        if value <= zero:  # which is false of what is no number
            continue
        latents[row, token] = value
        marks[token // BLOCK, row] |= LAST << np.uint64(token % BLOCK)
        on += np.float32(1)
        total += value
    return on, total


@compiled
def round_latents(encoder: Any, bias: Any, first: int, whole: Any, numbers: Any) -> None:
    """A piece's rows as whole numbers, and what belongs to them; zeros beyond the last latent."""
    largest = largest_whole(encoder.shape[1])
    for k in range(ROWS):
        row = first + k
        if row < encoder.shape[0]:
            scale, norm, rest = round_row(encoder[row], whole[k], largest)
            numbers[k, 0], numbers[k, 1], numbers[k, 2] = scale, norm, rest
            numbers[k, 3] = bias[row]
        else:
            whole[k], numbers[k] = 0, 0


@compiled
def screen_span(
    piece: Any, tokens: Any, token_numbers: Any, first_block: int, last_block: int
) -> None:
    """Which of a piece's latents may be on: bits for each block of a span's tokens.

    Args:
        piece: The latents' whole numbers, what belongs to them, and the bits, to be written.
        tokens: Whole numbers, tile by tile.
        token_numbers: Likewise.
        first_block: Of the span.
        last_block: Before which it ends.
    """
    whole, numbers, bits = piece
    tiles, in_block = tokens.shape[0], BLOCK // TOKENS
    tile_bytes, row_bytes = tokens[0].size * tokens.itemsize, whole.shape[1] * whole.itemsize
    bits[:] = 0
    for tile in range(first_block * in_block, min(last_block * in_block, tiles)):
        block = tile // in_block
        bits_of_tile = bits[block - first_block].ctypes.data + 2 * (tile % in_block)
        for k in range(0, ROWS, LATENTS):
            screen_tile(
                whole[k].ctypes.data, row_bytes, numbers[k].ctypes.data,
                tokens.ctypes.data + tile * tile_bytes, tokens.shape[1],
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
    tokens = carray(pointer(table.whole_tokens), (tiles, d_in // 2, TOKENS, 2), np.int16)
    token_numbers = carray(pointer(table.token_numbers), (tiles, 3, TOKENS), np.float32)
    inputs = carray(pointer(table.input_rows), (table.batch, d_in), np.float32)
    encoder = carray(pointer(table.encoder), (shape[0], d_in), np.float32)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    firings = carray(pointer(table.firings), shape[0], np.float32)
    sums = carray(pointer(table.sums), shape[0], np.float32)
    marks = carray(pointer(table.marks), marks_shape(shape), np.uint64)
    latents = carray(pointer(table.latents), shape, np.float32)
    whole, numbers = np.empty((ROWS, d_in), np.int16), np.empty((ROWS, 4), np.float32)
    bits = np.empty((SPAN, ROWS), np.uint64)
    starts, found = np.zeros(ROWS + 1, np.int64), np.empty(ROWS * SPAN * BLOCK, np.int32)
    values = np.empty(SPAN * BLOCK, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        last = min(first + ROWS, shape[0])
        round_latents(encoder, bias, first, whole, numbers)
        firings[first:last], sums[first:last], marks[:, first:last] = 0, 0, 0
        for block in range(0, marks.shape[0], SPAN):
            last_block = min(block + SPAN, marks.shape[0])
            screen_span((whole, numbers, bits), tokens, token_numbers, block, last_block)
            list_found(bits, block, inputs, (starts, found))
            for row in range(first, last):
                here = found[starts[row - first] : starts[row - first + 1]]
                dot_rows(values, inputs, here, encoder[row], bias[row], len(here))
                on, total = keep_found(latents, row, marks, here, values)
                firings[row] += on
                sums[row] += total
