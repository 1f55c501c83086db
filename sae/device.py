"""Which device and which precision a run uses."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

import torch

from sae.errors import MemoryTooSmallError, SaeError

CUDA_NATIVE_BFLOAT16 = 8
"""Lowest major compute capability with bfloat16 matrix units (Ampere)."""


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:<index>` or `mps`.

    Raises:
        SaeError: The name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return torch.device(_best_device())
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise SaeError(f"device must be one of auto, cpu, cuda, mps, but got {name!r}.")
    if not _available(kind, int(index or 0)):
        raise SaeError(f"device must be available on this machine, but got {name!r}.")
    return torch.device(name)


def _best_device() -> str:
    return next(kind for kind in ("cuda", "mps", "cpu") if _available(kind, 0))


def _available(kind: str, index: int) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available() and index < torch.cuda.device_count()
    if kind == "mps":
        return torch.backends.mps.is_available()
    return index == 0


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= CUDA_NATIVE_BFLOAT16
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


def widest_float(device: torch.device) -> torch.dtype:
    """The most exact type that sums can be taken in on the device: MPS has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def has_triton(device: torch.device) -> bool:
    """Whether Triton kernels run on the device: CUDA from compute capability 8.0 on."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    if torch.cuda.get_device_capability(device)[0] < CUDA_NATIVE_BFLOAT16:
        return False
    # Imported here since it needs Triton.
    from sae.gpu_kernels.trial import compiles

    return compiles(device)


def has_bfloat16_tiles() -> bool:
    """Whether the processor has matrix units for bfloat16 (AMX), several times its vectors."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


@contextmanager
def memory_errors_named(sizes: Mapping[str, int], device: torch.device) -> Generator[None]:
    """Turns running out of memory within the block into one line that says what to lower.

    Args:
        sizes: The settings by which the memory grows.
        device: Whose memory it is.

    Raises:
        MemoryTooSmallError: The memory of `device` does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        raise MemoryTooSmallError(
            f"{_listed(sizes)} must fit into the memory of {device}, "
            f"but got {_listed(sizes.values())}."
        ) from error


def _listed(items: Iterable[object]) -> str:
    """As in "a, b and c"."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def is_memory_error(error: BaseException) -> bool:
    """Whether an operation failed for want of memory."""
    # The CPU's allocator raises a plain RuntimeError.
    is_named = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return is_named or any(words in str(error) for words in _TOO_LARGE)


_TOO_LARGE = ("DefaultCPUAllocator", "Storage size calculation overflowed")
"""What torch says of a tensor that memory, or a 64-bit number of bytes, does not hold."""


Result = TypeVar("Result")


def with_tokens_that_fit(
    compute: Callable[[int], Result], tokens: int, release: Callable[[], None] | None = None
) -> tuple[Result, int]:
    """Computes with fewer and fewer tokens at once until that fits into memory.

    Args:
        compute: Takes the number of tokens to compute at once; may be called anew.
        tokens: The number to begin with, halved as long as memory runs out.
        release: Gives memory back after a failure.

    Returns:
        The result, and the number of tokens that fitted.
    """
    while True:
        try:
            return compute(tokens), tokens
        except (MemoryError, RuntimeError) as error:
            if tokens == 1 or not is_memory_error(error):
                raise
        # Only here has the error let go of the tensors of the frames that it came through.
        tokens = max(1, tokens // 2)
        if release is not None:
            release()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
