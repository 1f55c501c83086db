"""A matrix's gradient in parts that only the optimizer puts together, to spare the memory.

    G = P + diag(c) W,  P = L R,  L [F, B], R [B, D]

With few tokens P is far larger than its factors. An optimizer that computes its elements as it
needs them spares one write and two reads of all of it; with many, one that adds diag(c) W spares a
read of W and a read and a write of G. The norm, for clipping, follows from the parts alone:

    ||G||^2 = ||P||^2 + 2 sum_i c_i <P_i, W_i> + sum_i c_i^2 ||W_i||^2,  ||P||^2 = <L^T L, R R^T>

Shape letters: F rows, D columns, B tokens.
"""

from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor


class Written(Enum):
    """How much of its matrices' gradients a step puts together itself."""

    gradients = "all"
    products = "P"
    nothing = "the factors of P"


@dataclass(frozen=True, kw_only=True, slots=True)
class RowPart:
    """The part diag(c) W, which is the gradient of a penalty on the rows' norms."""

    weights: Tensor
    """c, float32 [F]."""
    along: Tensor
    """<P_i, W_i> of every row, likewise."""
    norms: Tensor
    """||W_i||, likewise."""

    def squares(self) -> Tensor:
        """What it adds to the squared norm; a scalar."""
        return (self.weights * (2 * self.along + self.weights * self.norms.square())).sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeferredGradient:
    """The gradient of one matrix."""

    left: Tensor
    """L, contiguous [F, B], in the precision of products."""
    right: Tensor
    """R, contiguous [B, D], likewise."""
    written: Tensor | None = None
    """P, float32 [F, D], where it is written out; then that counts, and the factors do not."""
    row_part: RowPart | None = None

    @property
    def row_weights(self) -> Tensor | None:
        """c, if there is a part diag(c) W."""
        return None if self.row_part is None else self.row_part.weights

    def with_added(self, rows_N: Tensor, left_NB: Tensor, right_BD: Tensor) -> "DeferredGradient":
        """The same with a product added to some rows of P; what this one has may change.

        Args:
            rows_N: Which, int64, all different.
            left_NB: Left factor of the product, in the precision of products.
            right_BD: Its right factor; where that is R, the left one joins L, and otherwise both
                follow as further tokens.
        """
        if self.written is not None:
            self.written.index_add_(0, rows_N, (left_NB @ right_BD).float())
            return self
        if right_BD is self.right:
            self.left.index_add_(0, rows_N, left_NB)
            return self
        tokens = self.left.shape[1]
        left = self.left.new_zeros(len(self.left), tokens + left_NB.shape[1])
        left[:, :tokens] = self.left
        left[:, tokens:].index_copy_(0, rows_N, left_NB)
        return replace(self, left=left, right=torch.cat([self.right, right_BD]))

    def squared_norm(self) -> Tensor:
        """||G||^2, a float32 scalar."""
        squares = self._squares_of_product()
        if self.row_part is not None:
            squares = squares + self.row_part.squares()
        return squares.clamp(min=0)  # of a gradient of zero rounding may leave less than nothing

    def _squares_of_product(self) -> Tensor:
        if self.written is not None:
            return torch.linalg.vector_norm(self.written).square()
        return (_gram(self.left.t()) * _gram(self.right)).sum()

    def value(self, weight_FD: Tensor) -> Tensor:
        """G, float32 [F, D], of the matrix W."""
        if self.written is None:
            gradient_FD = self.left.float() @ self.right.float()
        else:
            gradient_FD = self.written.clone()
        if self.row_part is not None:
            gradient_FD += self.row_part.weights.unsqueeze(1) * weight_FD
        return gradient_FD


def _gram(rows: Tensor) -> Tensor:
    """All inner products of rows, float32."""
    if rows.dtype is torch.float32 or rows.device.type != "cuda":
        return rows.float() @ rows.t().float()
    return torch.ops.aten.mm.dtype(rows, rows.t(), torch.float32)
