"""Sums of rows and products with them, against numpy in float64."""

from typing import Any

import numpy as np
import pytest
import torch

from sae.kernels import pairs, row_sums
from sae.kernels.compiling import compiled

ROWS = 60
LENGTHS = [38, 32, 192, 384, 416, 512, 768]
"""No whole register, one, and strips of every width."""
COUNTS = [0, 1, 2, 3, 4, 7, 51]


@compiled
def add_and_multiply(
    rows: Any, words: Any, indices: Any, weights: Any, row: Any, out: Any, products: Any
) -> Any:
    for number in range(rows.shape[0]):
        row_sums.pack_row(rows[number], words[number])
    row_sums.add_rows(out, words, indices, weights, len(indices))
    return row_sums.dot_rows(products, words, indices, row, np.float32(0.25), len(indices))


def draw(length: int, count: int) -> dict[str, Any]:
    generator = np.random.default_rng(length + count)

    def normal(*shape: int) -> Any:
        return generator.standard_normal(shape).astype(np.float32)

    return {
        "rows": normal(ROWS, length),
        "words": np.zeros((ROWS, length // 2), np.uint32),
        "indices": generator.integers(0, ROWS, count).astype(np.int32),
        "weights": normal(count),
        "row": normal(length),
        "out": normal(length),
        "products": np.zeros(count, np.float32),
    }


def as_multiplied(values: Any, length: int) -> Any:
    """What a factor is rounded to where the instruction for pairs is used."""
    if not pairs.has_pairs() or length % (2 * pairs.WORDS) != 0:
        return values.astype(np.float64)
    return bfloat16(values)


def bfloat16(values: Any) -> Any:
    return torch.from_numpy(values).bfloat16().double().numpy()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("length", LENGTHS)
def test_add_rows_adds_weighted_rows_to_what_is_there(length: int, count: int) -> None:
    drawn = draw(length, count)
    rows_ND = bfloat16(drawn["rows"])[drawn["indices"]]
    expected_D = drawn["out"] + as_multiplied(drawn["weights"], length) @ rows_ND
    add_and_multiply(**drawn)
    np.testing.assert_allclose(drawn["out"], expected_D, rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("length", LENGTHS)
def test_dot_rows_gives_each_row_s_product_and_their_sum(length: int, count: int) -> None:
    drawn = draw(length, count)
    rows_ND = bfloat16(drawn["rows"])[drawn["indices"]]
    expected_N = rows_ND @ as_multiplied(drawn["row"], length) + 0.25
    total = add_and_multiply(**drawn)
    np.testing.assert_allclose(drawn["products"], expected_N, rtol=0, atol=5e-5)
    assert total == pytest.approx(float(expected_N.sum()), abs=1e-3)


def test_add_rows_keeps_infinity_and_nan_where_they_are() -> None:
    drawn = draw(64, 3)
    drawn["rows"][drawn["indices"][0], 5], drawn["rows"][drawn["indices"][2], 40] = np.inf, np.nan
    add_and_multiply(**drawn)
    assert sorted(np.flatnonzero(~np.isfinite(drawn["out"]))) == [5, 40]
    assert np.isnan(drawn["out"][40])
