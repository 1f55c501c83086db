import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.batch_stream import Batch, BatchStream, BatchWanted
from sae.errors import SaeError
from sae.history import HistoryRow
from sae.packed_training import Training, train_together
from sae.stop_signal import StopSignal
from sae.trainer_config import Controller, TrainerConfig
from sae.training import TrainingRequest, TrainingState, train, training

WEIGHTS = "sae/sae_weights.safetensors"


def variant(request: TrainingRequest, alpha: float, **changes: float) -> TrainingRequest:
    trainer = dataclasses.replace(request.trainer, stop_early=False, **changes)
    return dataclasses.replace(request, alpha_canonical=alpha, trainer=trainer)


def assert_same_bytes(one: Path, other: Path) -> None:
    assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    assert (one / "sae/cfg.json").read_bytes() == (other / "sae/cfg.json").read_bytes()


def train_apart_and_together(
    requests: list[TrainingRequest], store: ActivationStore, folder: Path
) -> None:
    for number, request in enumerate(requests):
        train(request, store, folder / f"apart_{number}")
    train_together([training(r, store, folder / f"together_{n}") for n, r in enumerate(requests)])


@pytest.mark.parametrize("architecture", list(Architecture))
def test_train_together_ends_with_the_bytes_of_runs_apart(
    store: ActivationStore, tmp_path: Path, architecture: Architecture
) -> None:
    first = TrainingRequest(
        sae=SaeConfig(architecture=architecture, latent_dim=32),
        trainer=TrainerConfig(total_steps=20, batch_size=64, learning_rate=3e-3, stop_early=False),
        alpha_canonical=0.0 if architecture.sets_l0 else 0.5,
        target_l0_count=3.0,
        device="cpu",
    )
    second = variant(first, first.alpha_canonical * 2, learning_rate=1e-3)
    third = dataclasses.replace(second, seed=1)
    train_apart_and_together([first, second, third], store, tmp_path)
    for number in range(3):
        assert_same_bytes(tmp_path / f"apart_{number}", tmp_path / f"together_{number}")


def test_train_together_of_steered_and_shorter_runs_ends_with_the_bytes_of_runs_apart(
    store: ActivationStore, tmp_path: Path, short_run: TrainingRequest
) -> None:
    shorter = variant(short_run, 1.0, total_steps=25)
    steered = dataclasses.replace(
        short_run,
        target_l0_count=3.0,
        trainer=dataclasses.replace(short_run.trainer, controller=Controller.l0),
    )
    train_apart_and_together([shorter, steered, short_run], store, tmp_path)
    for number in range(3):
        assert_same_bytes(tmp_path / f"apart_{number}", tmp_path / f"together_{number}")


def test_train_together_diverging_run_does_not_disturb_the_others(
    store: ActivationStore, tmp_path: Path, short_run: TrainingRequest
) -> None:
    trainer = dataclasses.replace(short_run.trainer, learning_rate=1e30)
    wild = dataclasses.replace(short_run, alpha_canonical=1e30, trainer=trainer)
    train(short_run, store, tmp_path / "apart")
    ends = train_together(
        [training(wild, store, tmp_path / "wild"), training(short_run, store, tmp_path / "calm")]
    )
    assert [end.state for end in ends] == [TrainingState.diverged, TrainingState.complete]
    assert_same_bytes(tmp_path / "apart", tmp_path / "calm")


def test_train_together_goes_on_with_runs_from_different_steps(
    store: ActivationStore, tmp_path: Path, short_run: TrainingRequest
) -> None:
    requests = [variant(short_run, alpha, checkpoint_every=7) for alpha in (0.5, 1.0, 2.0)]
    stops = [StopSignal() for _ in requests]

    def stop_at(number: int, step: int) -> Training[object]:
        def look(row: HistoryRow) -> None:
            if row.step == step:
                stops[number].request("test")

        folder = tmp_path / f"together_{number}"
        return training(requests[number], store, folder, look, stops[number])

    train_together([stop_at(0, 10), stop_at(1, 40)])
    train_apart_and_together(requests, store, tmp_path)
    for number in range(3):
        assert_same_bytes(tmp_path / f"apart_{number}", tmp_path / f"together_{number}")


def test_train_together_counts_each_runs_own_time(
    store: ActivationStore, tmp_path: Path, short_run: TrainingRequest
) -> None:
    started = time.monotonic()
    ends = train_together([training(short_run, store, tmp_path / name) for name in "abc"])
    assert sum(end.wall_s for end in ends) <= time.monotonic() - started


def asks_for(stream: BatchStream, steps: range, seen: list[Batch]) -> Training[int]:
    for step in steps:
        batch = yield BatchWanted(stream=stream, step=step)
        seen.append(batch)
    return len(seen)


def stream_of(store: ActivationStore, seed: int) -> BatchStream:
    return BatchStream(store=store, batch_size=8, seed=seed, device=torch.device("cpu"))


def test_train_together_gives_each_run_the_batches_it_asks_for(store: ActivationStore) -> None:
    wanted = [(0, range(3, 20)), (0, range(11)), (1, range(2, 9)), (0, range(50, 53))]
    seen: list[list[Batch]] = [[] for _ in wanted]
    runs = [
        asks_for(stream_of(store, seed), steps, seen[number])
        for number, (seed, steps) in enumerate(wanted)
    ]
    assert train_together(runs) == [len(steps) for _, steps in wanted]
    for (seed, steps), given in zip(wanted, seen, strict=True):
        batches: Iterator[torch.Tensor] = stream_of(store, seed).batches(steps.start)
        for batch in given:
            assert torch.equal(batch.tokens, next(batches))


def test_train_together_reads_each_batch_of_a_stream_once(store: ActivationStore) -> None:
    seen: list[list[Batch]] = [[], []]
    train_together([asks_for(stream_of(store, 0), range(30), given) for given in seen])
    for one, other in zip(*seen, strict=True):
        assert one.tokens is other.tokens


def test_train_together_ends_every_run_where_one_raises(store: ActivationStore) -> None:
    closed: list[str] = []

    def waits() -> Training[None]:
        try:
            yield BatchWanted(stream=stream_of(store, 0), step=0)
        finally:
            closed.append("waiting")

    def raises() -> Training[None]:
        yield BatchWanted(stream=stream_of(store, 1), step=0)
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        train_together([raises(), waits()])
    assert closed == ["waiting"]


def test_train_together_stream_that_cannot_be_read_ends_its_own_runs_alone(
    store: ActivationStore, tmp_path: Path, short_run: TrainingRequest
) -> None:
    too_large = variant(short_run, 1.0, batch_size=5000)

    def member(request: TrainingRequest, name: str) -> Training[str]:
        try:
            result = yield from training(request, store, tmp_path / name)
        except SaeError as error:
            return str(error)
        return result.state

    runs = [member(too_large, "a"), member(short_run, "b"), member(too_large, "c")]
    first, second, third = train_together(runs)
    assert first == third
    assert "trainer.batch_size" in first
    assert second == TrainingState.complete


def test_train_together_batch_that_cannot_be_read_is_told_to_all_runs_of_its_stream(
    store: ActivationStore,
) -> None:
    class BrokenError(Exception):
        pass

    class Broken:
        def __len__(self) -> int:
            return len(store.train)

        def batches(self, *_: object) -> Iterator[torch.Tensor]:
            yield torch.zeros(8, store.d_in)
            raise BrokenError

    broken = stream_of(dataclasses.replace(store, train=Broken()), 0)

    def run() -> Training[bool]:
        try:
            yield from asks_for(broken, range(5), [])
        except BrokenError:
            return True
        return False

    assert train_together([run(), run()]) == [True, True]


def test_train_together_run_that_wants_no_batch_ends(store: ActivationStore) -> None:
    assert train_together([asks_for(stream_of(store, 0), range(0), [])]) == [0]
