"""Buffers that are allocated once and reused, and products in the working precision."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sae import huge_pages
from sae.derived import Derived
from sae.device import has_triton
from sae.kernels.launching import Table, available
from sae.layout import is_transposed

WORDS = " in words"
"""Follows a weight's name in that of its copy in words; see `sae.kernels.row_sums`."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A weight's copy in the working precision."""

    name: str
    value: Tensor
    is_words: bool


class Workspace:
    """Scratch memory of one training run.

    Matrix products run in `dtype` (float32 or bfloat16); their operands are copied into it here.
    Sums, norms and losses are always float32.
    """

    def __init__(
        self,
        dtype: torch.dtype,
        device: torch.device,
        *,
        compiled: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        """Allocates nothing yet.

        Args:
            dtype: The working precision.
            device: Where the run is.
            compiled: Whether compiled loops may be used (`sae.kernels`); None: where they can.
            fused: Whether Triton kernels may be used (`sae.gpu_kernels`); None: where they can.
        """
        self.dtype = dtype
        self.device = device
        self.compiled = available(device) if compiled is None else compiled
        self.fused = has_triton(device) if fused is None else fused
        self.derived = Derived()
        """Copies of weights, and the squares of gradients."""
        self._buffers: dict[str, Tensor] = {}

    @property
    def renews_copies(self) -> bool:
        """Whether what moves a matrix leaves its rounded copy and its rows' norms in `derived`."""
        return self.compiled or self.fused

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """The uninitialised buffer of that name, in the working precision unless told.

        Asking again with the same name and shape returns the same memory.
        """
        found = self._buffers.get(name)
        if found is None or found.shape != shape:
            found = huge_pages.empty(shape, dtype or self.dtype, self.device)
            self._buffers[name] = found
        return found

    def release(self) -> None:
        """Lets go of all buffers; what still uses one keeps it."""
        self._buffers.clear()
        self.derived.clear()

    def latents(self, name: str, batch: int, latent_dim: int) -> Tensor:
        """The buffer of that name for latents, [batch, latent_dim].

        A latent's tokens are adjacent, so that products with it read whole rows (see `multiply`),
        as sums over tokens do.
        """
        return self.buffer(name, latent_dim, batch).t()

    def cast(self, name: str, source: Tensor) -> Tensor:
        """`source` in the working precision: itself, or a copy in the buffer of that name.

        The copy's memory runs the way the source's does.
        """
        if source.dtype == self.dtype:
            return source
        if is_transposed(source):
            return self.buffer(name, *source.t().shape).copy_(source.t()).t()
        return self.buffer(name, *source.shape).copy_(source)

    def cast_weight(self, name: str, weight: Tensor) -> Tensor:
        """As `cast`, where the optimizer renews the copy only if the weight has changed since."""
        if not self.renews_copies:
            return self.cast(name, weight)
        found = self.derived.get(name, weight)
        return self.derived.keep(name, self.cast(name, weight), weight) if found is None else found

    def rows(self, name: str, source: Tensor) -> Tensor:
        """A float32 matrix as the rows of `sae.kernels.row_sums`: itself, or in words.

        Words need an even number of columns, and compiled loops.
        """
        packed = self.rows_buffer(name, source)
        if packed is not source:
            # Imported here since it needs numba, and loads what was compiled.
            from sae.kernels import sparse

            count, columns = source.shape
            table = Table(half=True, batch=0, d_in=columns, latent_dim=count)
            table.run(sparse.pack, source=source, packed=packed, packed_rows=count)
        return packed

    def rows_buffer(self, name: str, source: Tensor) -> Tensor:
        """Where the rows of a matrix belong."""
        if self.dtype is torch.float32:
            return source
        return self.buffer(name + WORDS, len(source), source.shape[1] // 2, dtype=torch.int32)

    def weight_rows(self, name: str, weight: Tensor) -> Tensor:
        """As `rows`, only if the weight has changed since."""
        found = self.derived.get(name + WORDS, weight)
        if found is not None:
            return found
        return self.derived.keep(name + WORDS, self.rows(name, weight), weight)

    def held_copy(self, name: str, weight: Tensor) -> Copy | None:
        """The copy of a weight in another precision that is up to date, if there is one."""
        if self.dtype is torch.float32:
            return None
        for full_name, is_words in ((name + WORDS, True), (name, False)):
            value = self.derived.get(full_name, weight)
            if value is not None:
                return Copy(full_name, value, is_words)
        return None

    def product_near(self, out: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """`left @ right` in the working precision: in the float32 matrix `out`, or in a buffer."""
        if out.dtype != self.dtype:
            out = self._product_buffer(out)
        return torch.mm(left, right, out=out)

    def _product_buffer(self, out: Tensor) -> Tensor:
        """Where a product is before it is widened into `out`, whose rows are adjacent."""
        return self.buffer(f"product{tuple(out.shape)}", *out.shape)

    def product_into(self, out: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Writes `left @ right` into the float32 tensor `out`.

        Where the device has no bfloat16 product with float32 output, as the CPU, the product is
        written in the working precision first; it is accumulated in float32 either way.
        """
        if out.dtype == self.dtype:
            return multiply(left, right, out)
        if out.device.type == "cuda":
            return _multiply_widening(left, right, out)
        transposed = is_transposed(out)
        product = self._product_buffer(out.t() if transposed else out)
        return out.copy_(multiply(left, right, product.t() if transposed else product))


def multiply(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Writes `left @ right` into `out`, whichever way the memory of `out` runs.

    Through the transposes where that spares the library a strided result, which costs it a copy:
    on two CPU cores with AMX, bf16, [4096, 1024] @ [1024, 384] takes 1.1 ms where the left matrix
    has whole rows and 2.1 ms where it has not (measured: python -m benchmarks.layouts).
    """
    if is_transposed(out):
        torch.mm(right.t(), left.t(), out=out.t())
        return out
    return torch.mm(left, right, out=out)


def _multiply_widening(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """As `multiply`, from bfloat16 to float32 in one pass over `out`; CUDA only."""
    product = torch.ops.aten.mm.dtype_out
    if is_transposed(out):
        product(right.t(), left.t(), torch.float32, out=out.t())
        return out
    return product(left, right, torch.float32, out=out)
