"""Activations that somebody else computed, before they are imported.

Shapes: N rows of a piece, D = d_in.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

PIECE_ROWS = 256
"""Rows taken for a document where the source knows none. Assumption: rows come in the order of
the text, so that rows far apart belong to different documents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Rows that belong together: a document, or a stretch of rows that stands for one."""

    origin: str
    """The file or column that holds it, for messages."""
    first_row: int
    """Its first row in there."""
    read: Callable[[], Tensor]
    """Float [n, d_in]; may be memory-mapped."""
    is_stretch: bool = False
    """Whether it only stands for a document, so that it may be cut."""

    def after(self, rows: int) -> "tuple[Piece, ...]":
        """What follows its first rows, as a piece; none of a document, or where none follows."""
        if not self.is_stretch or rows >= len(self.read()):
            return ()
        read = partial(_part, self, slice(rows, None))
        return (replace(self, first_row=self.first_row + rows, read=read),)


def _part(piece: Piece, rows: slice) -> Tensor:
    return piece.read()[rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSource:
    """A table of activations, read piece by piece."""

    name: str
    """Short name for people."""
    d_in: int
    """Width of every row."""
    pieces: tuple[Piece, ...]
    """All of it, in order."""
    identity: Mapping[str, Any]
    """Tells it from other sources without reading it; plain JSON."""


def stretches(rows: int) -> Iterator[tuple[int, int]]:
    """Cuts range(rows) into stretches [start, stop) of at most `PIECE_ROWS`."""
    for start in range(0, rows, PIECE_ROWS):
        yield start, min(start + PIECE_ROWS, rows)
