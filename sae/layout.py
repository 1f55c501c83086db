"""Which way a matrix's memory runs."""

from torch import Tensor


def is_transposed(matrix: Tensor) -> bool:
    """Whether the matrix is the transpose of a contiguous one, and not contiguous itself."""
    return matrix.dim() == 2 and not matrix.is_contiguous() and matrix.t().is_contiguous()
