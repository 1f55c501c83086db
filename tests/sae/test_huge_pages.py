"""`sae.huge_pages`: large tensors lie in huge pages, and are otherwise like any other."""

import gc
import re
import sys
from pathlib import Path

import pytest
import torch

from sae.huge_pages import HUGE_PAGE, empty, empty_like

CPU = torch.device("cpu")
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def kilobytes(field: str) -> int:
    """What the kernel counts of this process's memory."""
    found = re.search(
        rf"^{field}:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE
    )
    assert found is not None
    return int(found[1])


def has_huge_pages() -> bool:
    return SETTING.exists() and "[never]" not in SETTING.read_text()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_empty_large_gives_a_tensor_like_torch_s(dtype: torch.dtype) -> None:
    tensor = empty((1024, 2048), dtype, CPU)
    assert tensor.shape == (1024, 2048)
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    assert torch.equal(tensor.fill_(3), torch.full((1024, 2048), 3, dtype=dtype))


@pytest.mark.parametrize("shape", [(), (0, 4), (7,), (3, 5)])
def test_empty_small_gives_the_shape(shape: tuple[int, ...]) -> None:
    assert empty(shape, torch.float32, CPU).shape == shape


@pytest.mark.parametrize("rows", [1024, 1000])
def test_empty_large_begins_at_a_huge_page(rows: int) -> None:
    if sys.platform == "linux":
        assert empty((rows, 1024), torch.float32, CPU).data_ptr() % HUGE_PAGE == 0


def test_empty_large_is_in_huge_pages_where_the_machine_has_them() -> None:
    before = kilobytes("AnonHugePages") if has_huge_pages() else 0
    tensor = empty((8 * HUGE_PAGE,), torch.uint8, CPU).zero_()
    if has_huge_pages():
        assert kilobytes("AnonHugePages") - before >= tensor.nbytes // 1024


def test_empty_released_gives_its_memory_back() -> None:
    if sys.platform != "linux":
        return
    tensor = empty((64 * HUGE_PAGE,), torch.uint8, CPU).zero_()
    held = kilobytes("Rss")
    size = tensor.nbytes // 1024
    del tensor
    gc.collect()
    assert held - kilobytes("Rss") >= 0.9 * size


def test_empty_like_of_a_transposed_matrix_lies_in_memory_like_it() -> None:
    like = empty_like(torch.ones(2048, 1024).t())
    assert like.shape == (1024, 2048)
    assert like.stride() == (1, 1024)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_empty_like_of_a_transposed_row_or_column_lies_in_memory_like_it(
    shape: tuple[int, int],
) -> None:
    tensor = torch.ones(shape).t()
    assert empty_like(tensor).stride() == tensor.stride()


def test_empty_without_enough_memory_raises_what_torch_raises() -> None:
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        empty((2**50,), torch.float32, CPU)
