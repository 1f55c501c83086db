"""Activations straight from the model, through a shuffled buffer, without touching the disk.

Shapes: N tokens of a buffer, B rows of a batch, D = d_in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Event

import torch
from torch import Tensor

from sae.activations.canonical import CanonicalUnits
from sae.activations.chunks import Chunk
from sae.activations.feeding import FOR_THE_CPU, Feeding
from sae.activations.model import LanguageModel
from sae.activations.module_outputs import window_rows
from sae.activations.one_ahead import one_ahead
from sae.seeding import generator

WINDOW_CHUNKS = 256
"""Chunks that the model is given at once, sorted by length."""


class _AbandonedError(Exception):
    """Ends the computing of a buffer that nobody will read."""


class TokenStream:
    """Chunks of text in a new order every epoch, run through the model a buffer at a time.

    A buffer holds the tokens of chunks from all over the text and is shuffled whole, so that a
    batch depends on seed and step only: a resumed run computes one buffer, not all before it.
    """

    def __init__(
        self, model: LanguageModel, module: str, chunks: Sequence[Chunk], buffer_tokens: int
    ) -> None:
        """Runs nothing yet.

        Args:
            model: The model.
            module: Whose output is wanted.
            chunks: The text.
            buffer_tokens: Tokens of a buffer; two are in memory at a time.
        """
        self._model = model
        self._module = module
        self._chunks = chunks
        self._buffer_tokens = buffer_tokens
        self._lengths = torch.tensor([len(chunk.kept) for chunk in chunks])

    def __len__(self) -> int:
        """Tokens of an epoch."""
        return int(self._lengths.sum())

    def batches(
        self,
        batch_size: int,
        seed: int,
        start_step: int,
        units: CanonicalUnits,
        feeding: Feeding = FOR_THE_CPU,  # noqa: ARG002 - rows lie where the model left them
    ) -> Iterator[Tensor]:
        """Batches without end; batch number `step` depends on `seed` and `step` only.

        Args:
            batch_size: Rows of a batch.
            seed: Of the orders of chunks and of each buffer's rows.
            start_step: Number of the first batch.
            units: What the rows are converted to.
            feeding: As for `Rows.batches`; changes nothing here.

        Returns:
            float32 [batch_size, d_in], contiguous and the caller's own.
        """
        epoch, offset = divmod(start_step * batch_size, len(self))
        first, skipped = divmod(offset, self._buffer_tokens)
        left_ND: Tensor | None = None
        abandoned = Event()
        for rows_ND in one_ahead(self._buffers(seed, epoch, first, abandoned), abandoned.set):
            rows_ND, skipped = rows_ND[skipped:], 0
            if left_ND is not None:
                rows_ND = torch.cat([left_ND, rows_ND])
            whole = len(rows_ND) - len(rows_ND) % batch_size
            for start in range(0, whole, batch_size):
                yield units.convert(rows_ND[start : start + batch_size].clone())
            left_ND = rows_ND[whole:]

    def _buffers(self, seed: int, epoch: int, first: int, abandoned: Event) -> Iterator[Tensor]:
        """Shuffled buffers, from number `first` of `epoch` on, until they are abandoned."""
        while True:
            draw = generator(seed, f"activations/stream/epoch {epoch}")
            order = torch.randperm(len(self._chunks), generator=draw)
            for start in range(first * self._buffer_tokens, len(self), self._buffer_tokens):
                rows_ND = self.rows(order, start, start + self._buffer_tokens, abandoned)
                draw = generator(seed, f"activations/stream/epoch {epoch}/from {start}")
                yield rows_ND[torch.randperm(len(rows_ND), generator=draw)]
            epoch, first = epoch + 1, 0

    def rows(self, order: Tensor, start: int, stop: int, abandoned: Event | None = None) -> Tensor:
        """Tokens `start` to `stop` of the chunks taken in `order`, float32 [n, d_in]."""
        ends = self._lengths[order].cumsum(0)
        chunks: list[Chunk] = []
        for place in range(int(torch.searchsorted(ends, start, right=True)), len(order)):
            number = int(order[place])
            begin = int(ends[place] - self._lengths[number])
            if begin >= stop:
                break
            chunk = self._chunks[number]
            kept = chunk.kept[max(0, start - begin) : stop - begin]
            chunks.append(replace(chunk, kept=kept))
        windows = (
            chunks[low : low + WINDOW_CHUNKS] for low in range(0, len(chunks), WINDOW_CHUNKS)
        )
        return torch.cat([self._window(window, abandoned) for window in windows])

    def _window(self, chunks: Sequence[Chunk], abandoned: Event | None) -> Tensor:
        if abandoned is not None and abandoned.is_set():
            raise _AbandonedError
        return window_rows(self._model, [self._module], chunks)[self._module]
