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

from sae.kernels.table import FIELDS, PLACES

if TYPE_CHECKING:
    from sae.kernels.compiling import Kernel

OPENMP = "libgomp.so.1"
"""By this name torch's Linux wheels bring it."""

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
        # The fields, then the number that hands out pieces of work; plain numbers, since a
        # record's fields take several times as long to set, which a step does a hundred times.
        self._words = np.zeros(len(FIELDS) + 1, np.int64)
        self._address = self._words.ctypes.data
        self._tensors: dict[str, Tensor] = {}
        next_piece = self._address + len(FIELDS) * self._words.itemsize
        self.fill(next_piece=next_piece, half=half, batch=batch, d_in=d_in, latent_dim=latent_dim)

    def run(self, kernel: "Kernel", **values: Tensor | int) -> None:
        """Runs a kernel on as many threads as torch uses.

        Args:
            kernel: Of `sae.kernels`.
            values: As for `fill`.

        Raises:
            ValueError: As from `fill`.
            MemoryError: No thread could allocate what it needs for itself.
        """
        launch = _openmp()
        if launch is None:
            raise ValueError(f"{OPENMP} must be loaded to run kernels.")
        self.fill(**values)
        self._words[-1] = 0
        launch(kernel.address, self._address, torch.get_num_threads(), 0)
        # What a kernel raises is printed and lost. It can raise only before its first piece, and
        # one thread that asks for pieces does the work of all.
        if self._words[-1] == 0:
            raise MemoryError("A kernel's own memory could not be allocated.")

    def fill(self, **values: Tensor | int) -> None:
        """Sets what this and every later kernel reads and writes.

        Args:
            values: By the table's names.

        Raises:
            ValueError: A tensor has gaps in memory, so that an address does not describe it.
        """
        for name, value in values.items():
            if isinstance(value, Tensor):
                if not value.is_contiguous():
                    raise ValueError(f"{name} must be contiguous for a kernel.")
                self._tensors[name] = value  # so that no address outlives its tensor
                value = value.data_ptr()
            self._words[PLACES[name]] = value
