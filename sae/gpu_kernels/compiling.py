"""How functions become Triton kernels."""

from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., None]) -> Any:
    """Compiles a function for the device when it is first launched: `name[programs](...)`.

    With TRITON_INTERPRET=1 set before Triton is imported it is run by numpy instead, on tensors in
    the host's memory; that is how the tests run kernels where there is no GPU.
    """
    return triton.jit(function)
