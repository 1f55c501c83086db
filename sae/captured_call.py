"""A CUDA graph of a function that always does the same with the same memory.

A step of a small SAE is some forty kernels, each shorter than its launch from Python; a graph
launches them all at once (docs/gpu.md).
"""

from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")

WARM_CALLS = 3
"""Calls that run as they are before one is captured: they allocate the buffers and make the
libraries choose their kernels, which must not happen in a capture."""


class CapturedCall(Generic[Result]):
    """Calls a function, and after some calls replays what it did.

    The function must read its inputs from the same tensors every time, and wait for nothing. What
    it returns is overwritten by the next call. It is handed over at every call and not kept: what
    it belongs to may hold this, and the two would keep a GPU's memory until garbage is collected.
    """

    def __init__(self, device: torch.device) -> None:
        """Runs nothing yet.

        Args:
            device: Where the function computes. Elsewhere than on CUDA it is called as it is.
        """
        self._stream = _side_stream(device) if device.type == "cuda" else None
        self._calls = 0
        self._captured: tuple[torch.cuda.CUDAGraph, Result] | None = None

    def __call__(self, compute: Callable[[], Result]) -> Result:
        """The function's result; later work on the current stream waits for it.

        Args:
            compute: The function, the same at every call.
        """
        if self._stream is None:
            return compute()
        self._calls += 1
        if self._calls <= WARM_CALLS:
            return _run_on(self._stream, compute)
        if self._captured is None:
            graph = torch.cuda.CUDAGraph()
            # Threads that pin batches meanwhile may allocate; see `sae.device_batches`.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                result = compute()
            self._captured = graph, result
        graph, result = self._captured
        graph.replay()
        return result


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all: cuBLAS keeps a workspace for every stream that it was used on."""
    return torch.cuda.Stream(device)


def _run_on(stream: torch.cuda.Stream, compute: Callable[[], Result]) -> Result:
    current = torch.cuda.current_stream(stream.device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        result = compute()
    current.wait_stream(stream)
    return result
