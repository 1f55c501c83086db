import hashlib

import pytest
import torch

from analysis.thresholds import default_thresholds
from sae.activations import ActivationStore
from sae.activations.outliers import LARGE_SHARE, SAMPLED_ROWS, outlier_share, outlier_warning
from sae.activations.rows import Rows
from sae.activations.statistics import StatisticsAccumulator


def store_of(rows_ND: torch.Tensor) -> ActivationStore:
    accumulator = StatisticsAccumulator(rows_ND.shape[1])
    accumulator.update(rows_ND)
    rows = Rows([rows_ND], [torch.arange(len(rows_ND))])
    return ActivationStore(
        name="rows.npy",
        description={},
        fingerprint=hashlib.sha256(rows_ND.numpy().tobytes()).hexdigest(),
        statistics=accumulator.result(),
        train=rows,
        held_out=rows,
    )


def rows_with_sinks(rows: int, every: int, norm: float) -> torch.Tensor:
    """Unit rows in random directions, one in `every` of another norm."""
    rows_ND = torch.randn(rows, 8, generator=torch.Generator().manual_seed(0))
    rows_ND /= rows_ND.norm(dim=1, keepdim=True)
    rows_ND[::every] *= norm
    return rows_ND


def test_outlier_share_of_few_rows_is_their_part_of_the_squared_norm() -> None:
    share = outlier_share(store_of(rows_with_sinks(1280, every=128, norm=100)))
    assert share == pytest.approx(10 * 100**2 / (10 * 100**2 + 1270))


def test_outlier_share_of_more_rows_than_are_sampled_is_near_that_of_all() -> None:
    rows_ND = rows_with_sinks(SAMPLED_ROWS * 8, every=64, norm=20)
    share = outlier_share(store_of(rows_ND))
    assert share == pytest.approx(400 / (400 + 63), abs=0.05)
    assert outlier_share(store_of(rows_ND)) == share


def test_outlier_share_of_activations_opened_again_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows_ND = rows_with_sinks(640, every=64, norm=50)
    share = outlier_share(store_of(rows_ND))
    monkeypatch.delattr(Rows, "gather")
    assert outlier_share(store_of(rows_ND)) == share


def test_outlier_share_of_rows_below_the_limit_is_zero() -> None:
    assert outlier_share(store_of(rows_with_sinks(1280, every=2, norm=9.9))) == 0


def test_outlier_share_of_mostly_empty_rows_goes_by_the_others() -> None:
    rows_ND = rows_with_sinks(1000, every=1, norm=1)
    rows_ND[:900] = 0
    assert outlier_share(store_of(rows_ND)) == 0


def test_outlier_warning_of_a_large_share_says_what_to_do() -> None:
    warning = outlier_warning(store_of(rows_with_sinks(1280, every=128, norm=100)))
    assert warning == (
        "warning: rows.npy: rows above 10 times the median norm hold 99 % of the squared norm: "
        "alpha, L0 and fvu are about those; outlier_norm=10 leaves them out"
    )


def test_outlier_warning_of_a_small_share_is_none() -> None:
    assert outlier_warning(store_of(rows_with_sinks(12800, every=6400, norm=11))) is None


def test_outlier_warning_of_ordinary_rows_is_none(store: ActivationStore) -> None:
    assert outlier_warning(store) is None


def test_large_share_is_that_of_the_verdict() -> None:
    assert default_thresholds().own.outlier_share_warning == LARGE_SHARE
