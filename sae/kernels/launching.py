"""Runs kernels on the threads that torch's own loops run on.

Threads of their own would compete with torch's, which keep spinning for a while after each of its
loops. So kernels are handed to the OpenMP library that torch has loaded, through the entry point
that compilers use.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sae.kernels.table import TABLE

if TYPE_CHECKING:
    from sae.kernels.compiling import Kernel

OPENMP = "libgomp.so.1"
"""By this name torch's Linux wheels bring it."""

FEWEST_TOKENS, MOST_TOKENS = 64, 512
"""In a piece of decoding: the more, the less often each row of W_dec is fetched (on one core
3.3 ms with 512, 5.7 with 64 at latent_dim 4096, 1 % on), but a piece must fit a core's cache."""

Launch = Callable[[int, int, int, int], None]


@cache
def _openmp() -> Launch | None:
    """GOMP_parallel(function, its argument, threads, flags); None where there is none."""
    try:
        launch = ctypes.CDLL(OPENMP).GOMP_parallel
    except (OSError, AttributeError):
        return None
    launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    launch.restype = None
    return launch


def available(device: torch.device) -> bool:
    """Whether kernels can run: on the CPU, with numba and torch's OpenMP library."""
    return device.type == "cpu" and find_spec("numba") is not None and _openmp() is not None


class Table:
    """The kernels' table, filled from tensors."""

    def __init__(self, *, half: bool, batch: int, d_in: int, latent_dim: int) -> None:
        self._counter = np.zeros(1, np.int64)
        self._table = np.zeros(1, TABLE)
        share = -(-batch // (4 * torch.get_num_threads())) * 4
        sizes = {
            "half": half,
            "batch": batch,
            "d_in": d_in,
            "latent_dim": latent_dim,
            "piece_tokens": min(max(share, FEWEST_TOKENS), MOST_TOKENS),
        }
        for name, value in {"next_piece": self._counter.ctypes.data, **sizes}.items():
            self._table[name] = value
        self._tensors: dict[str, Tensor] = {}

    def run(self, kernel: "Kernel", **values: Tensor | int) -> None:
        """Runs a kernel on as many threads as torch uses.

        Args:
            kernel: Of `sae.kernels`.
            values: What it reads and writes, by the table's names.

        Raises:
            ValueError: A tensor has gaps in memory, so that an address does not describe it.
        """
        launch = _openmp()
        if launch is None:
            raise ValueError(f"{OPENMP} must be loaded to run kernels.")
        for name, value in values.items():
            if isinstance(value, Tensor):
                if not value.is_contiguous():
                    raise ValueError(f"{name} must be contiguous for a kernel.")
                self._tensors[name] = value  # so that no address outlives its tensor
                value = value.data_ptr()
            self._table[name] = value
        self._counter[0] = 0
        launch(kernel.address, self._table.ctypes.data, torch.get_num_threads(), 0)
