"""Where batches are written, and by how many threads.

Shapes: B rows of a batch, D = d_in.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Feeding:
    """How batches are written for whoever trains on them."""

    threads: int = 1
    """At most so many write a batch together."""
    bytes_per_thread: int = 2**21
    """That a thread must have to write, at least."""
    pinned: bool = False
    """Where a GPU can fetch them from."""


FOR_THE_CPU = Feeding()
"""Whose cores train meanwhile."""
FOR_A_GPU = Feeding(threads=4, pinned=True)
"""The host's cores are free there. Small batches come faster from one thread, since several keep
the interpreter from one another; large ones from four (python -m benchmarks.gpu)."""

Write = Callable[[Tensor, Tensor], None]
"""Writes the rows of some indices [n] into a part of a batch [n, D]."""


def written_batches(
    indices: Iterator[Tensor], d_in: int, write: Write, feeding: Feeding
) -> Iterator[Tensor]:
    """Float32 batches [B, D], one for each tensor of indices [B]."""
    with ThreadPoolExecutor(feeding.threads, thread_name_prefix="feeding") as helpers:
        for indices_B in indices:
            batch_BD = torch.empty(len(indices_B), d_in, pin_memory=feeding.pinned)
            threads = min(feeding.threads, batch_BD.nbytes // feeding.bytes_per_thread)
            if threads <= 1:
                write(indices_B, batch_BD)
            else:
                parts = indices_B.chunk(threads), batch_BD.chunk(threads)
                list(helpers.map(write, *parts))  # which raises what a thread raised
            yield batch_BD
