"""Memory in huge pages for a run's large tensors, where Linux has them.

A step goes through more memory than the processor remembers addresses for in pages of 4 KiB, so
that it waits for addresses beside data. Linux gives pages of 2 MiB to whoever asks for them
(madvise(2), MADV_HUGEPAGE); torch asks for none unless it is told by an environment variable.
"""

import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

from sae.layout import is_transposed

HUGE_PAGE = 2**21
"""Bytes; of x86-64, and of arm64 with pages of 4 KiB."""


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised contiguous tensor, in huge pages if it is large and on the CPU.

    Args:
        shape: Its shape.
        dtype: Its type.
        device: Where it is.

    Raises:
        RuntimeError: The memory does not suffice.
    """
    count = math.prod(shape)
    size = count * dtype.itemsize
    if device.type == "cpu" and size >= HUGE_PAGE:
        pages = _huge_pages(size)
        if pages is not None:
            offset = -torch.frombuffer(pages, dtype=torch.uint8).data_ptr() % HUGE_PAGE
            return torch.frombuffer(pages, dtype=dtype, count=count, offset=offset).view(*shape)
    return torch.empty(tuple(shape), dtype=dtype, device=device)


def empty_like(tensor: Tensor) -> Tensor:
    """As `empty`, like a vector or a matrix, whichever way its memory runs."""
    if is_transposed(tensor):
        return empty_like(tensor.t()).t()
    return empty(tensor.shape, tensor.dtype, tensor.device)


def _huge_pages(size: int) -> mmap.mmap | None:
    """Memory of its own, with a whole number of huge pages in it; None where there are none."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return None
    room = (size // HUGE_PAGE + 2) * HUGE_PAGE
    try:
        pages = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages.madvise(advice)
    except OSError:  # a kernel without them, or no memory, which torch then says its way
        return None
    return pages
