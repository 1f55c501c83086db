"""The real training loop, one step at a time, so that it can be timed between other trainers'.

`sae.training.train` runs whole, in a process of its own: checks, history and checkpoints included.
Its store hands out a prepared batch only when a step is allowed.
"""

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from benchmarks.demo import demo_store
from sae.activations import ActivationStore
from sae.activations.feeding import FOR_THE_CPU, Feeding
from sae.training import TrainingRequest, TrainingResult, train


class PacedTraining:
    """One run of `train`, of which every `step()` lets one step through."""

    def __init__(self, request: TrainingRequest, layer: int) -> None:
        """Starts the process, and waits until the run asks for its first batch.

        Args:
            request: What to train; on the CPU.
            layer: Of the demo's activations.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._result: TrainingResult | None = None
        arguments = (theirs, request, layer)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()  # so that a process that dies ends the wait
        self._pipe.recv()

    def step(self) -> float:
        """Lets one step through; returns its seconds (the last one's hold the evaluation too)."""
        started = time.perf_counter()
        self._pipe.send(None)
        self._result = self._pipe.recv()
        return time.perf_counter() - started

    def result(self) -> TrainingResult:
        """The run's result, after its last step."""
        self._process.join()
        if self._result is None:
            raise RuntimeError("The run has not ended.")
        return self._result


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _PacedStore(ActivationStore):
    """The same activations, with prepared batches behind a gate."""

    prepared: list[Tensor]
    pipe: Connection

    def train_batches(
        self,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        feeding: Feeding = FOR_THE_CPU,
    ) -> Iterator[Tensor]:
        for x_BD in self.prepared[start_step:]:
            self.pipe.send(None)  # asks
            self.pipe.recv()  # is allowed
            yield x_BD
        # Those that a model settles by, after its last step (`sae.training`).
        after = max(start_step, len(self.prepared))
        yield from ActivationStore.train_batches(self, batch_size, seed, after, feeding)


def _serve(pipe: Connection, request: TrainingRequest, layer: int) -> None:
    """The process: the whole of `train`, then its result."""
    store = demo_store(layer)
    trainer = request.trainer
    stream = store.train_batches(trainer.batch_size, request.seed)
    values: dict[str, Any] = {entry.name: getattr(store, entry.name) for entry in fields(store)}
    prepared = list(islice(stream, trainer.total_steps))
    paced = _PacedStore(**values, prepared=prepared, pipe=pipe)
    with TemporaryDirectory() as folder:
        pipe.send(train(request, paced, Path(folder)))
