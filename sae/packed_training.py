"""Several runs in lock-step: those on the same stream of batches share every batch.

A run in training is a generator that asks for batches by their number and ends with its result.
All its arithmetic is its own, so that its weights have the same bytes as those of a run alone;
batches, process and activations are shared. Runs need not be at the same step: each takes the
batches that it asks for, and the stream goes at the pace of the run that is furthest behind.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Generic, TypeVar

from torch import Tensor

from sae.batch_stream import Batch, BatchStream, BatchWanted

Result = TypeVar("Result")
Training = Generator[BatchWanted, Batch, Result]
"""A run in training."""

BATCHES_TOGETHER = 4
"""Batches that a run takes before the next run has its turn, which finds its weights in nearer
caches that way."""


def train_together(runs: Sequence[Training[Result]]) -> list[Result]:
    """Trains all runs to their ends.

    A run that ends early leaves the others its time. What reading a batch raises is raised in the
    runs of its stream. What one raises ends all: a run that must not disturb the others catches
    its own errors and returns them.

    Args:
        runs: Not begun yet.

    Returns:
        What each returned, in their order.
    """
    with ExitStack() as stack:
        for run in runs:
            stack.callback(run.close)
        seats = [_Seat(run) for run in runs]
        lanes: dict[BatchStream, _Lane[Result]] = {}
        for seat in seats:
            if seat.wanted is not None:
                stream = seat.wanted.stream
                lanes.setdefault(stream, _Lane(stream)).seats.append(seat)
        going_on = list(lanes.values())
        while going_on:
            for lane in going_on:
                lane.advance()
            going_on = [lane for lane in going_on if lane.seats]
        return [result for seat in seats for result in seat.result]


class _Seat(Generic[Result]):
    """One run, what it waits for, and what it returned."""

    def __init__(self, run: Training[Result]) -> None:
        """Begins the run, up to its first batch."""
        self._run = run
        self.result: list[Result] = []
        """Empty while it trains."""
        self.wanted: BatchWanted | None = None
        try:
            self.wanted = next(run)
        except StopIteration as end:
            self.result.append(end.value)

    def take(self, batch: Batch | Exception) -> None:
        """Trains on the batch that it asked for, or is told why there is none."""
        try:
            is_read = isinstance(batch, Batch)
            self.wanted = self._run.send(batch) if is_read else self._run.throw(batch)
        except StopIteration as end:
            self.wanted = None
            self.result.append(end.value)


class _Lane(Generic[Result]):
    """A stream and the runs that train on it."""

    def __init__(self, stream: BatchStream) -> None:
        self.seats: list[_Seat[Result]] = []
        """Of the runs that still train."""
        self._stream = stream
        self._batches: Iterator[Tensor] | None = None
        """None where the next batch is not the one after the last that was read."""
        self._first = -1
        """Number of the first batch that is held."""
        self._held: list[Batch] = []

    def advance(self) -> None:
        """Gives every run its batches among the next few."""
        self._seek(min(seat.wanted.step for seat in self.seats if seat.wanted is not None))
        end = self._first + (BATCHES_TOGETHER if len(self.seats) > 1 else 1)
        for seat in self.seats:
            while seat.wanted is not None and seat.wanted.step < end:
                self._give(seat, seat.wanted.step)
        self.seats = [seat for seat in self.seats if seat.wanted is not None]

    def _seek(self, step: int) -> None:
        """Goes on to a batch; from the one after the last, nothing is read again."""
        if step != self._first + len(self._held):
            self._batches = None
        self._first, self._held = step, []

    def _give(self, seat: _Seat[Result], step: int) -> None:
        """Gives a run its batch; where that cannot be read, all runs of the stream are told."""
        try:
            batch = self._batch(step)
        except Exception as error:  # noqa: BLE001  (it is for the runs to say what it ends)
            self._batches = None
            for waiting in self.seats:
                if waiting.wanted is not None:
                    waiting.take(error)
        else:
            seat.take(batch)

    def _batch(self, step: int) -> Batch:
        while len(self._held) <= step - self._first:
            started = time.monotonic()
            if self._batches is None:
                self._batches = self._stream.batches(self._first)
            x_BD = next(self._batches)
            seconds = (time.monotonic() - started) / len(self.seats)
            self._held.append(Batch(tokens=x_BD, seconds=seconds))
        return self._held[step - self._first]
