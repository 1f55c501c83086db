import itertools
import weakref

import pytest
import torch
from torch import Tensor

from sae.activations import rows as rows_module
from sae.activations.canonical import CanonicalUnits
from sae.activations.feeding import Feeding
from sae.activations.rows import Rows
from sae.activations.shuffling import shuffled_indices

TABLE = torch.randn(900, 24, generator=torch.Generator().manual_seed(5))
UNITS = CanonicalUnits(mean=TABLE.mean(0), scale=1.37)


def in_blocks(table: Tensor, size: int) -> Rows:
    blocks = table.split(size)
    return Rows(blocks, [torch.zeros(len(block), dtype=torch.int64) for block in blocks])


def expected(table: Tensor, start_step: int) -> list[Tensor]:
    indices = itertools.islice(shuffled_indices(len(table), 64, 3, start_step), 20)
    return [(table[indices_B].float() - UNITS.mean) * UNITS.scale for indices_B in indices]


def first_batches(rows: Rows, start_step: int) -> list[Tensor]:
    return list(itertools.islice(rows.batches(64, 3, start_step, UNITS), 20))


def assert_equal(batches: list[Tensor], others: list[Tensor]) -> None:
    for batch, other in zip(batches, others, strict=True):
        assert torch.equal(batch, other)


@pytest.mark.parametrize("block", [1, 7, 899, 900])
def test_batches_compiled_have_the_bytes_of_torchs_operations(block: int) -> None:
    assert_equal(first_batches(in_blocks(TABLE, block), 30), expected(TABLE, 30))


@pytest.mark.parametrize("threads", [2, 3, 100])
def test_batches_written_by_several_threads_have_the_same_bytes(threads: int) -> None:
    rows = in_blocks(TABLE, 100)
    batches = rows.batches(64, 3, 30, UNITS, Feeding(threads=threads, bytes_per_thread=1))
    assert_equal(list(itertools.islice(batches, 20)), expected(TABLE, 30))


def test_batches_without_numba_have_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(_name: str) -> None:
        return None

    monkeypatch.setattr(rows_module, "find_spec", find_nothing)
    assert_equal(first_batches(in_blocks(TABLE, 100), 30), expected(TABLE, 30))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_batches_of_halves_are_widened_before_they_are_converted(dtype: torch.dtype) -> None:
    table = TABLE.to(dtype)
    assert_equal(first_batches(in_blocks(table, 100), 0), expected(table, 0))


def test_batches_of_transposed_blocks_are_read_by_their_strides() -> None:
    table = TABLE.t().contiguous().t()
    rows = Rows([table], [torch.zeros(len(table), dtype=torch.int64)])
    assert_equal(first_batches(rows, 0), expected(TABLE, 0))


def test_batches_keep_the_blocks_that_nobody_else_holds() -> None:
    rows = Rows([TABLE.clone()], [torch.zeros(len(TABLE), dtype=torch.int64)])
    block = weakref.ref(rows.blocks()[0][0])
    batches = rows.batches(64, 3, 0, UNITS)
    del rows
    assert block() is not None
    assert_equal([next(batches)], expected(TABLE, 0)[:1])


def test_batches_are_the_callers_own() -> None:
    rows = in_blocks(TABLE, 100)
    batches = rows.batches(64, 3, 0, UNITS)
    next(batches).zero_()
    assert_equal([next(batches)], expected(TABLE, 1)[:1])
