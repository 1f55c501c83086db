"""Rows as whole numbers of 16 bits, and how far off their products are. Needs numba.

A row r becomes q with r = scale q + e. By Cauchy and Schwarz, the product of two rows is off by no
more than |e| |w| + |r - e| |e_w| where theirs is taken from whole numbers, whose sum of products
has no error at all. Shape letters: D d_in.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import compiled

MOST = 32766
"""The largest whole number, one below what 16 bits hold since a quotient may be rounded up."""
ONE_STEP = 2.0**-23
"""Relative distance of float32 numbers."""
FEW = 32
"""Roundings of a bound and of what meets it, beside a row's D; assumption: more than there are."""


@compiled
def largest_whole(d_in: int) -> Any:
    """The largest whole number whose square, D times, stays below 2^31."""
    return np.float32(min(MOST, int(np.sqrt((2.0**31 - 1) / d_in)) - 1))


@compiled
def round_row(row_D: Any, whole_D: Any, largest: Any) -> Any:
    """Rounds a row to whole numbers.

    Args:
        row_D: Float32.
        whole_D: Written: int16.
        largest: See `largest_whole`.

    Returns:
        The scale; at least the norm of the row and that of what rounding took from it, each wide
        enough for float32's own errors in a product of D terms. Not a number, or infinite, where
        the row is.
    """
    most, zero = np.float32(0), np.float32(0)
    for column in range(row_D.shape[0]):
        most = max(most, abs(row_D[column]))
    scale = most / largest
    inverse = np.float32(1) / scale if scale > zero else zero
    square, square_of_rest = zero, zero
    for column in range(row_D.shape[0]):
        # In steps of the scale, whose squares are not lost however small the row is.
        value = row_D[column] * inverse
        whole = np.rint(value)
        rest = value - whole
        whole_D[column] = np.int16(whole)
        square += value * value
        square_of_rest += rest * rest
    slack = np.float32((row_D.shape[0] + FEW) * ONE_STEP)
    norm = scale * np.sqrt(square) * (np.float32(1) + slack)
    rest_norm = scale * np.sqrt(square_of_rest) * (np.float32(1) + slack)
    return scale, norm, rest_norm + slack * norm
