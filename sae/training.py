"""Trains one SAE: the loop, from the first batch to the saved weights and their measurements.

The loop asks for its batches and is given them, so that several runs can share a stream
(`sae.packed_training`).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.batch_stream import BatchStream, BatchWanted
from sae.checkpoint import Checkpoints
from sae.checkpoint_pace import CheckpointPace
from sae.device import memory_errors_named, resolve_device
from sae.held_out_moments import require_measurable
from sae.history import HistoryFile, HistoryRow
from sae.outcome import complete_result, incomplete_result
from sae.packed_training import Training, train_together
from sae.recipe import checkpoint_interval, learning_rate_at, logs_after
from sae.run_state import NOT_IN_EVERY_CHECKPOINT, RunState
from sae.stop_signal import StopSignal
from sae.stopwatch import Stopwatch
from sae.trackers import open_sink
from sae.training_result import TrainingRequest, TrainingResult, TrainingState

__all__ = ["TrainingRequest", "TrainingResult", "TrainingState", "train", "training"]

OnLog = Callable[[HistoryRow], None]


def train(
    request: TrainingRequest,
    store: ActivationStore,
    directory: Path,
    on_log: OnLog | None = None,
    stop: StopSignal | None = None,
) -> TrainingResult:
    """Trains one SAE, or goes on with it where `directory` holds a checkpoint.

    Writes history.csv as it trains, `checkpoint/` meanwhile, and `sae/` at the end. The same
    request, activations and machine give the same bytes in `sae/`, interrupted or not.

    Args:
        request: What to train.
        store: The activations.
        directory: The run's folder, made if absent.
        on_log: Called with every row of history.csv; what it raises ends the run, which can be
            resumed from its last checkpoint.
        stop: Ends the run at its next step, with a checkpoint, when requested.

    Returns:
        How the run went. Only a complete run has measurements and weights.

    Raises:
        SaeError: The device or the tracker is absent, the memory too small, the checkpoint
            unusable, an activation not finite, or the held-out ones all alike.
        OSError: The directory cannot be written.
    """
    [result] = train_together([training(request, store, directory, on_log, stop)])
    return result


def training(
    request: TrainingRequest,
    store: ActivationStore,
    directory: Path,
    on_log: OnLog | None = None,
    stop: StopSignal | None = None,
) -> Training[TrainingResult]:
    """As `train`, given one batch after another by `train_together`."""
    device = resolve_device(request.device)
    require_measurable(store, request.trainer.held_out_tokens)
    sizes = {
        "sae.latent_dim": request.sae.latent_dim,
        "trainer.batch_size": request.trainer.batch_size,
    }
    with memory_errors_named(sizes, device):
        run = _Run(request, store, directory, device)
        run.resume()
        sink = open_sink(request.trainer.tracker, directory, asdict(request), run.state.step)
        history = HistoryFile(directory / "history.csv", run.state.step)
        listeners = [history.append, sink.write, *([] if on_log is None else [on_log])]
        is_complete = False
        try:
            ended, reason = yield from run.train_steps(listeners, stop or StopSignal())
            is_complete = ended is TrainingState.complete
            if is_complete:
                yield from run.settle()
        finally:
            sink.close(is_complete=is_complete)
        if ended is not TrainingState.complete:
            return incomplete_result(request, run.state, ended, reason, run.clock.seconds())
        result = complete_result(request, run.state, store, directory / "sae", run.clock.seconds)
        run.checkpoints.remove()
        return result


class _Run:
    """What the loop needs beside the request: state, checkpoints, clock."""

    def __init__(
        self,
        request: TrainingRequest,
        store: ActivationStore,
        directory: Path,
        device: torch.device,
    ) -> None:
        self.request = request
        self.store = store
        self.state = RunState(request, store, device)
        self.stream = BatchStream(
            store=store,
            batch_size=request.trainer.batch_size,
            seed=request.seed,
            device=device,
        )
        directory.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(
            directory / "checkpoint", request.identity(store), request.identity_content(store)
        )
        self.pace = CheckpointPace(request.trainer.checkpoint_share, self.state.tensors())
        self.clock = Stopwatch()

    def resume(self) -> None:
        step, earlier_seconds = self.checkpoints.restore(
            self.state.tensors(), NOT_IN_EVERY_CHECKPOINT
        )
        self.state.after_restore(step)
        self.clock.add(earlier_seconds)
        self.pace.begin(self.clock.seconds())

    def train_steps(
        self, listeners: Sequence[OnLog], stop: StopSignal
    ) -> Training[tuple[TrainingState, str | None]]:
        """The training loop."""
        state, trainer = self.state, self.request.trainer
        interval = checkpoint_interval(trainer)
        while state.step < trainer.total_steps:
            is_logged = logs_after(state.step, trainer)
            # On the CPU a check costs nothing; elsewhere it waits for the device.
            check = is_logged or self.stream.device.type == "cpu"
            x_BD = yield from self._next_batch(state.step)
            problem = state.take_step(x_BD, check)
            if problem is not None:
                self._require_finite_batches()
            if problem is None and is_logged:
                row = self._history_row()
                for listen in listeners:
                    listen(row)
                problem = state.reason_to_stop()
            if problem is not None:
                return TrainingState.diverged, problem
            state.steer(self.store)
            # Read before a checkpoint is written: it raises where the folder is another run's now.
            asked_to_stop = stop.requested
            is_due = state.step % interval == 0 and self.pace.allows(self.clock.seconds())
            if is_due or asked_to_stop:
                self.pace.write(self._save_checkpoint, self.clock.seconds)
            if asked_to_stop:
                return TrainingState.interrupted, f"stopped by {stop.reason or 'request'}"
        return TrainingState.complete, None

    def settle(self) -> Training[None]:
        """Lets the model set what only its last weights tell, by the batches that come next."""
        batch_size, parts = self.request.trainer.batch_size, 0
        for number in range(-(-self.state.model.settling_tokens // batch_size)):
            x_BD = yield from self._next_batch(self.state.step + number)
            parts = self.state.settle(x_BD, parts)

    def _save_checkpoint(self) -> None:
        self.checkpoints.save(self.state.step, self.clock.seconds(), self.state.tensors())

    def _require_finite_batches(self) -> None:
        """Looks for the fault in the activations since a step was last looked at."""
        trainer, step = self.request.trainer, self.state.step
        first = max(0, step - trainer.log_every)
        self.store.require_finite_batches(trainer.batch_size, self.request.seed, first, step)

    def _next_batch(self, step: int) -> Training[Tensor]:
        self.clock.pause()
        batch = yield BatchWanted(stream=self.stream, step=step)
        self.clock.go_on()
        self.clock.add(batch.seconds)
        return batch.tokens

    def _history_row(self) -> HistoryRow:
        trainer, last_step = self.request.trainer, self.state.step - 1
        first = last_step // trainer.log_every * trainer.log_every
        means = self.state.trace.mean(first, last_step + 1)
        return HistoryRow(
            step=self.state.step,
            learning_rate=learning_rate_at(last_step, trainer),
            alpha=self.state.alpha(last_step),
            fvu=means["mse"] / self.store.d_in,
            dead_fraction_window=self.state.trace.dead_fraction(trainer.dead_window_tokens),
            seconds=round(self.clock.seconds(), 3),
            resampled=int(self.state.resampled),
            **means,
        )
