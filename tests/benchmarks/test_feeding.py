import itertools
from collections.abc import Callable, Iterator

import pytest
import torch

from benchmarks.feeding import block_local_order, mixing, sequential_order, store_order
from sae.activations.canonical import CanonicalUnits
from sae.activations.rows import Rows

ROWS = 400_000


def test_mixing_of_the_stores_order_passes() -> None:
    share, times = mixing([b for seed in range(5) for b in store_order(ROWS, seed)], ROWS)
    assert share >= 0.99
    assert times <= 2


@pytest.mark.parametrize("order", [sequential_order, block_local_order])
def test_mixing_of_a_poor_order_fails(order: Callable[[int], Iterator[torch.Tensor]]) -> None:
    share, times = mixing(list(itertools.islice(order(ROWS), 200)), ROWS)
    assert share == 0
    assert times > 2


def test_store_order_is_that_of_the_rows_that_batches_hold() -> None:
    table = torch.arange(20_000.0)[:, None]
    rows = Rows(list(table.split(3000)), [torch.zeros(1)] * 7)
    raw = CanonicalUnits(mean=torch.zeros(1), scale=1.0)
    batches = rows.batches(1024, 3, 0, raw)
    for origins, batch in zip(store_order(20_000, 3), batches, strict=False):
        assert torch.equal(batch[:, 0].long(), origins)
