import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.activations.rows import Rows
from sae.activations.statistics import StatisticsAccumulator
from sae.activations.store import ActivationStore
from sae.errors import SaeError


def make_store(blocks: list[Tensor], held_out: Tensor | None = None) -> ActivationStore:
    accumulator = StatisticsAccumulator(blocks[0].shape[1])
    for block in blocks:
        accumulator.update(block)
    held_out = blocks[0] if held_out is None else held_out
    return ActivationStore(
        name="test",
        description={},
        fingerprint="0",
        statistics=accumulator.result(),
        train=Rows(blocks, [torch.zeros(len(block), dtype=torch.int64) for block in blocks]),
        held_out=Rows([held_out], [torch.arange(len(held_out)) + 100]),
    )


def numbered_store(rows: int, block_size: int = 5) -> ActivationStore:
    """Row i is (i, 0), so that batches tell which rows they hold."""
    table = torch.stack([torch.arange(rows).float(), torch.zeros(rows)], dim=1)
    return make_store(list(table.split(block_size)))


def row_numbers(store: ActivationStore, batch: Tensor) -> list[int]:
    return (batch[:, 0] / store.scale + store.mean[0]).round().int().tolist()


def first_batches(
    store: ActivationStore, batch_size: int, count: int, seed: int = 0, start_step: int = 0
) -> list[Tensor]:
    return list(itertools.islice(store.train_batches(batch_size, seed, start_step), count))


@given(rows=st.integers(2, 40), batch_size=st.integers(1, 40), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_train_batches_of_any_size_cover_every_row_once_per_epoch(
    rows: int, batch_size: int, seed: int
) -> None:
    batch_size = min(batch_size, rows)
    store = numbered_store(rows)
    batches = first_batches(store, batch_size, 3 * rows // batch_size + 1, seed)
    seen = [number for batch in batches for number in row_numbers(store, batch)]
    for epoch in range(3):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


@given(rows=st.integers(2, 30), batch_size=st.integers(1, 30), start_step=st.integers(0, 70))
@settings(max_examples=40, deadline=None)
def test_train_batches_started_later_equal_those_skipped_to(
    rows: int, batch_size: int, start_step: int
) -> None:
    batch_size = min(batch_size, rows)
    store = numbered_store(rows)
    skipped = first_batches(store, batch_size, start_step + 3, seed=7)[start_step:]
    started = first_batches(store, batch_size, 3, seed=7, start_step=start_step)
    assert all(torch.equal(a, b) for a, b in zip(skipped, started, strict=True))


def test_train_batches_of_two_epochs_are_ordered_differently() -> None:
    first, second = first_batches(numbered_store(64), 64, 2)
    assert not torch.equal(first, second)


def test_train_batches_of_two_seeds_are_ordered_differently() -> None:
    store = numbered_store(64)
    assert not torch.equal(
        first_batches(store, 64, 1, seed=0)[0], first_batches(store, 64, 1, seed=1)[0]
    )


def test_train_batches_are_canonical_float32_and_contiguous() -> None:
    raw = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) * 3 + 5
    (batch,) = first_batches(make_store([raw.bfloat16()]), 500, 1)
    assert batch.dtype is torch.float32
    assert batch.is_contiguous()
    torch.testing.assert_close(
        batch.double().mean(dim=0), torch.zeros(8).double(), atol=1e-5, rtol=0
    )
    assert float(batch.square().sum(dim=1).mean()) == pytest.approx(8, rel=1e-5)


def test_train_batches_changed_by_the_caller_leave_the_store_alone() -> None:
    store = numbered_store(10, block_size=10)
    (before,) = first_batches(store, 10, 1)
    next(store.train_batches(10, 0)).zero_()
    (after,) = first_batches(store, 10, 1)
    assert torch.equal(before, after)


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_train_batches_with_impossible_batch_size_are_refused(batch_size: int) -> None:
    with pytest.raises(SaeError, match=r"trainer\.batch_size must be from 1 to .* \(10\)"):
        numbered_store(10).train_batches(batch_size, 0)


def test_train_batches_from_negative_step_are_refused() -> None:
    with pytest.raises(SaeError, match="start_step must not be negative, but got -1"):
        numbered_store(10).train_batches(2, 0, start_step=-1)


@pytest.mark.parametrize("rows", [0, 1])
def test_store_with_too_few_held_out_tokens_to_measure_is_refused(rows: int) -> None:
    with pytest.raises(SaeError, match=rf"^test must hold out at least 2 tokens.* got {rows}\.$"):
        make_store([torch.randn(4, 2)], torch.randn(rows, 2))


def test_held_out_batches_are_raw_in_order_and_named_by_document() -> None:
    held_out = torch.arange(14.0).reshape(7, 2)
    batches = list(make_store([torch.randn(4, 2)], held_out).held_out_batches(3))
    assert [len(rows) for rows, _ in batches] == [3, 3, 1]
    assert torch.equal(torch.cat([rows for rows, _ in batches]), held_out)
    assert torch.cat([ids for _, ids in batches]).tolist() == list(range(100, 107))


@pytest.mark.parametrize(("max_tokens", "expected"), [(4, 4), (7, 7), (100, 7), (None, 7)])
def test_held_out_batches_stop_after_max_tokens(max_tokens: int | None, expected: int) -> None:
    store = make_store([torch.randn(4, 2)], torch.randn(7, 2))
    assert sum(len(rows) for rows, _ in store.held_out_batches(3, max_tokens)) == expected


@pytest.mark.parametrize(("batch_size", "max_tokens"), [(0, None), (3, 0)])
def test_held_out_batches_of_no_rows_are_refused(batch_size: int, max_tokens: int | None) -> None:
    with pytest.raises(SaeError, match="must be positive, but got 0"):
        numbered_store(10).held_out_batches(batch_size, max_tokens)
