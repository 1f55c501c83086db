"""Which tokens are found from marks."""

from typing import Any

import numpy as np
import pytest

from sae.kernels import marks
from sae.kernels.compiling import compiled, target_has

BATCHES = [1, 16, 63, 64, 203]
by_registers = pytest.param(
    marks.find_by_registers,
    marks=pytest.mark.skipif(not target_has("avx512f"), reason="no AVX-512 on this machine"),
)


def latents_of(kind: Any, batch: int, density: float) -> Any:
    """Two rows of latents, the second on at a share of tokens."""
    generator = np.random.default_rng(batch)
    values = generator.integers(1, 2**15, (2, batch)) << (16 if kind is np.float32 else 0)
    bits = np.where(generator.random((2, batch)) < density, values, 0)
    return bits.astype(np.uint32).view(np.float32) if kind is np.float32 else bits.astype(kind)


@compiled
def mark(latents: Any, zero: Any, found: Any) -> None:
    for row in range(latents.shape[0]):
        marks.mark_row(latents, zero, row, found)


@pytest.mark.parametrize("density", [0, 0.1, 1])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", [np.float32, np.uint16])
@pytest.mark.parametrize("find", [marks.find_bit_by_bit, by_registers])
def test_find_gives_the_tokens_of_a_row_in_order_and_its_floats(
    find: Any, kind: Any, batch: int, density: float
) -> None:
    latents = latents_of(kind, batch, density)
    bits = np.zeros((-(-batch // marks.BLOCK), 2), np.uint64)
    mark(latents, np.uint16(0) if kind is np.uint16 else np.uint32(0), bits)
    found = np.full(batch + marks.BLOCK, -1, np.int32)
    values = np.zeros(batch + marks.BLOCK, np.float32)
    count = compiled(find)(latents, bits, 1, found, values)
    expected = np.flatnonzero(latents[1])
    wide = latents[1].astype(np.uint32) << 16 if kind is np.uint16 else latents[1]
    np.testing.assert_array_equal(found[:count], expected)
    np.testing.assert_array_equal(values[:count], wide.view(np.float32)[expected])
