"""Buffers that are allocated once and reused, and products in the working precision."""

import torch
from torch import Tensor


class Workspace:
    """Scratch memory of one training run.

    Matrix products run in `dtype` (float32 or bfloat16); their operands are copied into it here.
    Sums, norms and losses are always float32.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """The uninitialised buffer of that name, in the working precision unless told.

        Asking again with the same name and shape returns the same memory.
        """
        found = self._buffers.get(name)
        if found is None or found.shape != shape:
            found = torch.empty(shape, dtype=dtype or self.dtype, device=self.device)
            self._buffers[name] = found
        return found

    def release(self) -> None:
        """Lets go of all buffers; what still uses one keeps it."""
        self._buffers.clear()

    def cast(self, name: str, source: Tensor) -> Tensor:
        """`source` in the working precision: itself, or a copy in the buffer of that name."""
        if source.dtype == self.dtype:
            return source
        return self.buffer(name, *source.shape).copy_(source)

    def product_into(self, out: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Writes `left @ right` into the float32 tensor `out`.

        The product itself is written in the working precision (the CPU has no bfloat16 product
        with float32 output); it is accumulated in float32 either way.
        """
        if out.dtype == self.dtype:
            return torch.mm(left, right, out=out)
        product = torch.mm(left, right, out=self.buffer(f"product{tuple(out.shape)}", *out.shape))
        return out.copy_(product)
