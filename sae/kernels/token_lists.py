"""The tokens on which some latents are on, one list after another. Needs numba.

Latents are gone through in rounds: all lists of a round first, then whatever reads rows of one
kind, then whatever reads rows of the next, since a nearer cache holds rows of one kind but not of
two. What the next latent needs is asked for while one is worked on, since the processor does not
guess it.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import LINE, compiled, fetch
from sae.kernels.marks import BLOCK, fetch_marked, find_tokens

ROUND = 64
"""Latents of a round; assumption: few enough that many cores have a share, and that their lists
stay in a near cache."""
MARKS_IN_LINE = LINE // 8
"""Latents whose marks lie in a line of the cache."""


@compiled
def room_for_lists(batch: int) -> Any:
    """Where the lists of a round begin, its tokens, the latents there, and their gradients.

    The list of a round's latent k is from place `starts[k]` to `starts[k + 1]`.
    """
    size = ROUND * batch + BLOCK  # `find_tokens` writes beyond its list's end
    starts, found = np.zeros(ROUND + 1, np.int64), np.empty(size, np.int32)
    return starts, found, np.empty(size, np.float32), np.empty(size, np.float32)


@compiled
def list_tokens(latents: Any, marks: Any, first: int, last: int, lists: Any) -> None:
    """Lists the tokens of the latents from `first` to before `last`, and the latents there.

    Args:
        latents: Float32, or the bits of bfloat16.
        marks: Of the latents.
        first: Of a round.
        last: At most `ROUND` further.
        lists: Written; see `room_for_lists`.
    """
    starts, found, values = lists[0], lists[1], lists[2]
    for row in range(first, last):
        for block in range(marks.shape[0]):
            fetch_marked(latents, marks, block, min(row + 1, last - 1))
        if row % MARKS_IN_LINE == 0:
            fetch_marks(marks, row + MARKS_IN_LINE)
        begin = starts[row - first]
        count = find_tokens(latents, marks, row, found[begin:], values[begin:])
        starts[row - first + 1] = begin + count


@compiled
def list_of(lists: Any, place: int) -> Any:
    """A round's latent: its tokens, itself there, its gradients, and how many they are."""
    starts, found, values, slopes = lists
    begin, end = starts[place], starts[place + 1]
    return found[begin:end], values[begin:end], slopes[begin:end], end - begin


@compiled
def fetch_marks(marks: Any, row: int) -> None:
    """Asks for a latent's marks, which are far apart and need not exist."""
    for block in range(marks.shape[0]):
        fetch(marks.ctypes.data + (block * marks.shape[1] + row) * marks.itemsize, LINE)


@compiled
def fetch_next_row(matrix: Any, row: int, last: int) -> None:
    """Asks for the row after one, among those before `last`."""
    following = matrix[min(row + 1, last - 1)]
    fetch(following.ctypes.data, following.shape[0] * following.itemsize)
