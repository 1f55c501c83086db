import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.activations.statistics import StatisticsAccumulator
from sae.errors import SaeError


@given(
    cuts=st.lists(st.integers(0, 200), max_size=5),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
    seed=st.integers(0, 100),
)
@settings(max_examples=30, deadline=None)
def test_statistics_of_blocks_equal_those_of_all_rows_at_once(
    cuts: list[int], offset: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(200, 6, generator=draw) * torch.arange(1.0, 7.0) + offset
    accumulator = StatisticsAccumulator(6)
    for block in rows.tensor_split(sorted(cuts)):
        accumulator.update(block)
    statistics = accumulator.result()

    table = rows.double().numpy()
    centred = ((table - table.mean(axis=0)) ** 2).sum(axis=1).mean()
    raw = (table**2).sum(axis=1)
    assert statistics.tokens == 200
    assert statistics.mean.numpy() == pytest.approx(table.mean(axis=0), rel=1e-12)
    assert statistics.scale == pytest.approx((6 / centred) ** 0.5, rel=1e-12)
    assert statistics.raw_scale == pytest.approx((6 / raw.mean()) ** 0.5, rel=1e-12)
    assert statistics.raw_mean_norm == pytest.approx((raw**0.5).mean(), rel=1e-12)
    assert statistics.raw_rms_norm == pytest.approx(raw.mean() ** 0.5, rel=1e-12)
    gamma = (table.mean(axis=0) ** 2).sum() ** 0.5 / (table.std(axis=0) ** 2).sum() ** 0.5
    assert statistics.gamma == pytest.approx(gamma, rel=1e-12)


@pytest.mark.parametrize("rows", [torch.zeros(0, 3), torch.ones(5, 3)])
def test_statistics_of_rows_without_spread_are_refused(rows: torch.Tensor) -> None:
    accumulator = StatisticsAccumulator(3)
    accumulator.update(rows)
    with pytest.raises(SaeError, match="must hold at least two different tokens, but got"):
        accumulator.result()
