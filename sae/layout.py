"""Which way a matrix's memory runs."""

from torch import Tensor


def is_transposed(matrix: Tensor) -> bool:
    """Whether the matrix is the transpose of a contiguous one, and not contiguous itself.

    Strides decide: of a matrix with one row or one column torch says that it is contiguous
    either way.
    """
    if matrix.dim() != 2:
        return False
    rows, columns = matrix.shape
    return matrix.stride() == (1, rows) and matrix.stride() != (columns, 1)
