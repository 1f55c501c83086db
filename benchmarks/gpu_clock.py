"""Times and memory of a device, where work is asynchronous."""

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import median

import torch

from benchmarks.gpu_cases import Size
from benchmarks.process_memory import process_bytes


def copy_bandwidth(device: torch.device, size: Size) -> float:
    """Bytes read and written a second by a copy."""
    source = torch.zeros(size.copied_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size.copied_bytes / seconds(lambda: target.copy_(source), device, 10)


def product_rate(device: torch.device, size: Size) -> float:
    """Operations a second of a large square bf16 product."""
    n = size.product
    left, right = (torch.randn(n, n, device=device).bfloat16() for _ in range(2))
    out = torch.empty_like(left)
    return 2 * n**3 / seconds(lambda: torch.mm(left, right, out=out), device, 10)


def seconds(act: Callable[[], object], device: torch.device, times: int) -> float:
    """Median time of a call, after three that are not counted."""
    taken: list[float] = []
    for number in range(times + 3):
        wait(device)
        started = time.perf_counter()
        act()
        wait(device)
        if number >= 3:
            taken.append(time.perf_counter() - started)
    return median(taken)


def pace(step: Callable[[], object], device: torch.device, steps: int, first: int = 5) -> float:
    """Mean time of a step where nothing waits between steps, after `first` that do not count."""
    for _ in range(first):
        step()
    wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return (time.perf_counter() - started) / steps


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def no_waiting(device: torch.device) -> Generator[None]:
    """Lets whatever makes the host wait for the device raise an error."""
    if device.type != "cuda":
        yield
        return
    wait(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def forget_peak(device: torch.device) -> None:
    """Counts the peak of memory from here."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Most bytes in use since then; on the CPU of the process, since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_bytes("VmHWM")
