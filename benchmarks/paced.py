"""The real training loop, one step at a time, so that it can be timed between other trainers'.

`sae.training.train` runs whole, in a thread of its own: batches, checks, history and checkpoints
included. Its store hands out a batch only when a step is allowed.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from torch import Tensor

from sae.activations import ActivationStore
from sae.training import TrainingRequest, TrainingResult, train


class _Gate:
    """Lets prepared batches through one by one."""

    def __init__(self, batches: Sequence[Tensor]) -> None:
        self.batches = batches
        self.allowed: SimpleQueue[None] = SimpleQueue()
        self.asked: SimpleQueue[BaseException | None] = SimpleQueue()

    def stream(self, start_step: int) -> Iterator[Tensor]:
        for x_BD in self.batches[start_step:]:
            self.asked.put(None)
            self.allowed.get()
            yield x_BD


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _PacedStore(ActivationStore):
    """The same activations, with prepared batches behind a gate."""

    gate: _Gate

    def train_batches(
        self,
        batch_size: int,  # noqa: ARG002 - the batches are prepared
        seed: int,  # noqa: ARG002
        start_step: int = 0,
    ) -> Iterator[Tensor]:
        return self.gate.stream(start_step)


class PacedTraining:
    """One run of `train`, of which every `step()` lets one step through."""

    def __init__(
        self, request: TrainingRequest, store: ActivationStore, batches: Sequence[Tensor]
    ) -> None:
        """Starts the thread, and waits until the run asks for its first batch.

        Args:
            request: What to train; on the CPU.
            store: The activations, for the final measurements.
            batches: As many as the run has steps.
        """
        self._gate = _Gate(batches)
        values: dict[str, Any] = {
            entry.name: getattr(store, entry.name) for entry in fields(store)
        }
        self._store = _PacedStore(**values, gate=self._gate)
        self._request = request
        self._result: TrainingResult | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    def _run(self) -> None:
        ended: BaseException | None = None
        try:
            with TemporaryDirectory() as folder:
                self._result = train(self._request, self._store, Path(folder))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            ended = error
        self._gate.asked.put(ended)

    def _wait(self) -> None:
        error = self._gate.asked.get()
        if error is not None:
            raise error

    def step(self) -> float:
        """Lets one step through; returns its seconds (the last one's hold the evaluation too)."""
        started = time.perf_counter()
        self._gate.allowed.put(None)
        self._wait()
        return time.perf_counter() - started

    def result(self) -> TrainingResult:
        """The run's result, after its last step."""
        self._thread.join()
        if self._result is None:
            raise RuntimeError("The run has not ended.")
        return self._result
