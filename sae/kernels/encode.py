"""The encoder's product and its ReLU in one pass, by matrix units. Needs numba.

While the units multiply a block of latents with a block of tokens, the processor looks through
the products of the block before, and lists what is above zero (`sae.kernels.found`). So z is never
a matrix in memory. Shape letters: B batch, D d_in, F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import (
    LINE,
    carray,
    compiled,
    count_up,
    float_of_bits,
    kernel,
    lowest_bit,
    next_piece,
    pointer,
    rounded,
)
from sae.kernels.found import PANEL, PLACE, SPAN, lists_of, parts_of
from sae.kernels.marks import LAST
from sae.kernels.matrix_units import (
    SIDE,
    STEP,
    STEP_BYTES,
    SUMS_BYTES,
    TILE,
    TILE_BYTES,
    add_products,
    append_found,
    bits_above,
    clear_sums,
    configure_tiles,
    release_tiles,
    store_sums,
)
from sae.kernels.row_sums import SHIFT, UPPER, pack_row

APART = 16
"""Words between one token's list and the next one's: so not all begin in one set of the cache."""
REGISTER = 16
"""Words that are moved at once."""
BLOCK_BYTES = SIDE * SUMS_BYTES
ALL = np.uint64(2**SIDE - 1)
"""A bit for each token of a block."""


def paired_shape(batch: int, d_in: int) -> tuple[int, int, int]:
    """Of a batch's paired tokens: tiles of whole blocks, pairs of columns, tokens."""
    return -(-batch // SIDE) * (SIDE // TILE), d_in // 2, TILE


@kernel
def pair_tokens(address: Any) -> None:
    """`input_rows` and `paired_tokens` of x - b_dec; the latter are zero beyond the batch."""
    table = carray(address, 1)[0]
    tiles, words = parts_of(table.batch, SIDE) * (SIDE // TILE), table.d_in // 2
    x_BD = carray(pointer(table.tokens), (table.batch, table.d_in), np.float32)
    b_dec = carray(pointer(table.b_dec), table.d_in, np.float32)
    rows = carray(pointer(table.input_rows), (table.batch, words), np.uint32)
    paired = carray(pointer(table.paired_tokens), (tiles, words, TILE), np.uint32)
    centred = np.empty(table.d_in, np.float32)
    halves = np.zeros((TILE, table.d_in), np.uint16)
    pairs = carray(pointer(halves.ctypes.data), (TILE, words), np.uint32)
    while True:
        tile = next_piece(table.next_piece)
        if tile >= tiles:
            return
        for place in range(TILE):
            token = tile * TILE + place
            if token >= table.batch:
                halves[place] = 0
                continue
            for column in range(table.d_in):
                centred[column] = x_BD[token, column] - b_dec[column]
            pack_row(centred, rows[token])
            for column in range(table.d_in):
                halves[place, column] = np.uint16(rounded(centred[column]) >> SHIFT)
        for pair in range(words):
            for place in range(TILE):
                paired[tile, pair, place] = pairs[place, pair]


@compiled
def room_for_block() -> Any:
    """Where two blocks' sums are, and their memory; lists of a block's latents, and their lengths.

    The last are bits that `list_block` needs for itself.
    """
    memory = np.empty(2 * SIDE * SIDE + LINE // 4, np.float32)
    sums = memory.ctypes.data + -memory.ctypes.data % LINE
    lists = np.empty((SIDE, SPAN + SIDE), np.uint32)  # `append_found` writes beyond a list's end
    return sums, memory, lists, np.empty(SIDE, np.int64), np.empty(SIDE, np.uint64)


@compiled
def multiply_block(rows: Any, tokens: Any, steps: int) -> None:
    """Begins to multiply a block's latents with its tokens.

    Args:
        rows: The address of the first latent's row, and a row's bytes.
        tokens: The address of the first tile of tokens, and a tile's bytes.
        steps: Of a row.
    """
    first_row, row_bytes = rows
    first_tile, tile_bytes = tokens
    clear_sums()
    for step in range(steps):
        columns, column_tokens = first_row + step * STEP_BYTES, first_tile + step * TILE_BYTES
        add_products(columns, row_bytes, column_tokens, tile_bytes)


@compiled
def list_block(sums: int, bias: Any, valid: Any, first_token: int, room: Any) -> None:
    """Lists the tokens of a block on which its latents are on.

    Args:
        sums: The address of their products.
        bias: The latents'.
        valid: Bits of the tokens that are in the batch.
        first_token: The block's, by its place in the span.
        room: See `room_for_block`; its lists are appended to.
    """
    _, _, lists, counts, bits = room
    is_any = np.uint64(0)
    for k in range(SIDE):
        bits[k] = bits_above(sums + k * SUMS_BYTES, -bias[k]) & valid
        is_any |= np.uint64(bits[k] != 0) << np.uint64(k)
    while is_any != 0:
        k = lowest_bit(is_any)
        end = lists.ctypes.data + (k * lists.shape[1] + counts[k]) * lists.itemsize
        counts[k] += append_found(sums + k * SUMS_BYTES, bias[k], bits[k], first_token, end)
        is_any &= is_any - LAST


@compiled
def list_latents(rows: Any, bias: Any, tokens: Any, steps: int, count: int, room: Any) -> None:
    """Lists the tokens of a span on which a block's latents are on.

    Args:
        rows: As for `multiply_block`.
        bias: The latents'.
        tokens: As for `multiply_block`, of the span's first block.
        steps: Of a row.
        count: Tokens of the span.
        room: See `room_for_block`; its lists are written.
    """
    first_tile, tile_bytes = tokens
    sums, _, _, counts, _ = room
    counts[:] = 0
    blocks = parts_of(count, SIDE)
    for block in range(blocks + 1):
        now, before = sums + block % 2 * BLOCK_BYTES, sums + (block + 1) % 2 * BLOCK_BYTES
        if block < blocks:
            tiles = first_tile + block * (SIDE // TILE) * tile_bytes, tile_bytes
            multiply_block(rows, tiles, steps)
        if block > 0:  # what follows waits for no product of those that have just begun
            first_token = (block - 1) * SIDE
            left = count - first_token
            valid = ALL if left >= SIDE else (LAST << np.uint64(left)) - LAST
            list_block(before, bias, valid, first_token, room)
        if block < blocks:
            store_sums(now)


@compiled
def room_for_piece() -> Any:
    """A piece's entries, and for each its latent's place; lists by token, and their lengths."""
    size = PANEL * SPAN + REGISTER  # `end_lists` writes beyond the last entry
    lists, counts = np.empty((SPAN, PANEL + APART), np.uint32), np.empty(SPAN, np.int64)
    return np.empty(size, np.uint32), np.empty(size, np.uint32), lists, counts


@compiled
def end_lists(lists: Any, counts: Any, first: int, entries: Any, count: int, sums: Any) -> int:
    """Moves the lists of a block's latents to the end of a piece's entries.

    Args:
        lists: The block's.
        counts: Their lengths.
        first: The block's first latent, by its place in the panel.
        entries: The piece's, and their latents' places; written.
        count: Of entries so far.
        sums: Written: of each latent.

    Returns:
        How many entries there are from then on.
    """
    words, latents = entries
    for k in range(SIDE):
        total = np.float32(0)
        for start in range(0, counts[k], REGISTER):
            for lane in range(REGISTER):
                words[count + start + lane] = lists[k, start + lane]
                latents[count + start + lane] = np.uint32(first + k)
        for entry in range(counts[k]):
            total += float_of_bits(lists[k, entry] & UPPER)
        sums[k] = total
        count += counts[k]
    return count


@compiled
def list_by_token(count: int, room: Any) -> None:
    """Lists a piece's entries by token, in its room."""
    words, latents, lists, counts = room
    counts[:] = 0
    for entry in range(count):
        word = words[entry]
        token = np.int64(word & PLACE)
        lists[token, counts[token]] = (word & UPPER) | latents[entry]
        counts[token] += 1


@compiled
def list_piece(table: Any, first: int, first_token: int, block: Any, room: Any) -> int:
    """Lists the latents of a piece, in its room, their lists' places as from its first entry.

    Args:
        table: Of which lists' places and `found_parts` are written.
        first: Latent of the piece.
        first_token: Of the piece.
        block: See `room_for_block`.
        room: See `room_for_piece`.

    Returns:
        How many entries there are.
    """
    d_in, latent_dim, span = table.d_in, table.latent_dim, first_token // SPAN
    words, latents, _, _ = room
    _, _, lists, counts, _ = block
    bias = carray(pointer(table.bias), latent_dim, np.float32)
    parts = carray(pointer(table.found_parts), (span + 1, 2, latent_dim), np.float32)
    _, of_latents, _, _ = lists_of(table)
    row_bytes, tile_bytes = d_in // STEP * STEP_BYTES, d_in // STEP * TILE_BYTES
    tokens = table.paired_tokens + first_token // TILE * tile_bytes, tile_bytes
    size = min(SPAN, table.batch - first_token)
    count = 0
    for row in range(first, min(first + PANEL, latent_dim), SIDE):
        rows = table.encoder + row * row_bytes, row_bytes
        list_latents(rows, bias[row : row + SIDE], tokens, d_in // STEP, size, block)
        begin = count
        sums = parts[span, 0, row : row + SIDE]
        count = end_lists(lists, counts, row - first, (words, latents), begin, sums)
        for k in range(SIDE):
            of_latents[span, row + k] = begin, counts[k]
            parts[span, 1, row + k] = counts[k]
            begin += counts[k]
    return count


@compiled
def write_piece(table: Any, first: int, first_token: int, start: int, room: Any) -> None:
    """Writes a piece's lists behind `start` entries of others; arguments as for `list_piece`."""
    words, _, token_lists, token_counts = room
    by_latent, of_latents, by_token, of_tokens = lists_of(table)
    span, panel, count = first_token // SPAN, first // PANEL, 0
    for row in range(first, min(first + PANEL, table.latent_dim)):
        of_latents[span, row, 0] += start
        count += of_latents[span, row, 1]
    by_latent[start : start + count] = words[:count]
    list_by_token(count, room)
    for token in range(min(SPAN, table.batch - first_token)):
        length = token_counts[token]
        of_tokens[panel, first_token + token] = start, length
        by_token[start : start + length] = token_lists[token, :length]
        start += length


@kernel
def activate_product(address: Any) -> None:
    """The lists of latents on (see `lists_of`), and `found_parts`: their sums, and how many.

    Counts them in `found_count`, and ends early where they are more than there is room for.
    """
    table = carray(address, 1)[0]
    panels, spans = parts_of(table.latent_dim, PANEL), parts_of(table.batch, SPAN)
    block, room = room_for_block(), room_for_piece()
    configure_tiles()
    while count_up(table.found_count, 0) <= table.room:
        piece = next_piece(table.next_piece)
        if piece >= panels * spans:
            break
        first, first_token = piece // spans * PANEL, piece % spans * SPAN
        count = list_piece(table, first, first_token, block, room)
        start = count_up(table.found_count, count)
        if start + count <= table.room:
            write_piece(table, first, first_token, start, room)
    release_tiles()
