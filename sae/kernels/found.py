"""Lists of the latents that are on, by latent and by token, in place of a matrix. Needs numba.

Work is cut into pieces of some latents, a panel, by some tokens, a span. Each piece's latents that
are on are listed twice, in the order of latents and in that of tokens; where each of its lists
begins, and how long it is, is kept beside. An entry is a word: the latent's bfloat16, and in the
lower half its place in the panel, or its token's in the span. So neither the latents that are off
nor a line of the cache for each that is on is ever written or read. Which thread finds room first
decides where a piece's lists lie, never what they hold.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, float_of_bits, pointer
from sae.kernels.row_sums import UPPER

PANEL, SPAN = 512, 512
"""Latents and tokens of a piece: whose rows of W_enc stay in a core's cache beside the tokens'.
A multiple of `sae.kernels.matrix_units.SIDE`."""
PLACE = np.uint32(0xFFFF)
"""The half of a word that says where."""


@compiled
def parts_of(size: int, part: int) -> int:
    """How many parts a size is cut into."""
    return (size + part - 1) // part


@compiled
def lists_of(table: Any) -> Any:
    """The entries by latent and by token, and of each the starts and lengths of their lists.

    Returns:
        Entries, and lists [spans, F, 2]; entries, and lists [panels, B, 2].
    """
    spans, panels = parts_of(table.batch, SPAN), parts_of(table.latent_dim, PANEL)
    by_latent = carray(pointer(table.found_by_latent), table.room, np.uint32)
    by_token = carray(pointer(table.found_by_token), table.room, np.uint32)
    of_latents = carray(pointer(table.lists_of_latents), (spans, table.latent_dim, 2), np.int64)
    of_tokens = carray(pointer(table.lists_of_tokens), (panels, table.batch, 2), np.int64)
    return by_latent, of_latents, by_token, of_tokens


@compiled
def read_list(entries: Any, lists: Any, row: int, part: int, places: Any, values: Any) -> int:
    """Reads a row's lists one after another.

    Args:
        entries: Of all lists.
        lists: The starts and lengths of lists of parts, by row.
        row: A latent or a token.
        part: How many of the other kind a part has.
        places: Written: which of the others.
        values: Written: the latents there.

    Returns:
        How many.
    """
    count = 0
    for number in range(lists.shape[0]):
        start, length = lists[number, row]
        for k in range(length):
            word = entries[start + k]
            places[count + k] = number * part + np.int32(word & PLACE)
            values[count + k] = float_of_bits(word & UPPER)
        count += length
    return count


@compiled
def list_found(table: Any, first: int, last: int, lists: Any) -> None:
    """As `sae.kernels.token_lists.list_tokens`, where tokens are listed by latent."""
    by_latent, of_latents, _, _ = lists_of(table)
    starts, found, values, _ = lists
    for row in range(first, last):
        begin = starts[row - first]
        count = read_list(by_latent, of_latents, row, SPAN, found[begin:], values[begin:])
        starts[row - first + 1] = begin + count
