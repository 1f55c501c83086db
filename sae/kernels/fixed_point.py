"""Rows as whole numbers of 8 bits, and how far off their products are. Needs numba.

A row r becomes q with r = scale q + e. By Cauchy and Schwarz, the product of two rows is off by no
more than |e| |w| + |r - e| |e_w| where theirs is taken from whole numbers, whose sum of products
has no error at all: 16 bits hold the sums over a segment's columns, since by the same inequality
these are no larger than the product of the norms that `Limits` allow, and 32 bits theirs for d_in
up to a million. Shape letters: D d_in, P as many columns as whole segments have.
"""

from typing import Any, NamedTuple

import numpy as np

from sae.kernels.compiling import bits_of_float, compiled, float_of_bits

SEGMENT = 48
"""Columns whose products are added up in 16 bits: those with an even half of their number in one
sum, the others in another (see `sae.kernels.tiles`)."""
ONE_STEP = 2.0**-23
"""Relative distance of float32 numbers."""
FEW = 32
"""Roundings of a bound and of what meets it, beside a row's D; assumption: more than there are."""


class Limits(NamedTuple):
    """What a row's whole numbers may be, less what rounding can add."""

    most: int
    """The size of one."""
    two: int
    """The sizes of two neighbours, added, of which an even column's comes first."""
    norm: float
    """Of those in one sum of 16 bits: the root of the sum of their squares."""


_ROUNDED = 0.5 * (SEGMENT / 2) ** 0.5 + 0.1
"""What half a step for each column of a sum adds to a norm."""
TOKEN_LIMITS = Limits(most=127, two=254, norm=200 - _ROUNDED)
LATENT_LIMITS = Limits(most=127, two=127, norm=163 - _ROUNDED)
"""So that no sum of two products with numbers up to 255, a token's and `OFFSET`, comes to 2^15."""
OFFSET = 128
"""Added to a token's whole numbers, which are multiplied as numbers without a sign."""


@compiled
def columns_of(d_in: int) -> int:
    """Columns of whole numbers of rows so long."""
    return (d_in + SEGMENT - 1) // SEGMENT * SEGMENT


@compiled
def largest_sizes(row_D: Any) -> Any:
    """The largest size of a number, and of two neighbours added; not a number where one is none.

    As whole numbers in the same order, which are compared faster, and among which what is no
    number is the largest.
    """
    one_bits, two_bits, odd = np.uint32(0), np.uint32(0), row_D.shape[0] % 2
    for pair in range(row_D.shape[0] // 2):
        even_size, odd_size = abs(row_D[2 * pair]), abs(row_D[2 * pair + 1])
        one_bits = max(one_bits, max(bits_of_float(even_size), bits_of_float(odd_size)))
        two_bits = max(two_bits, bits_of_float(even_size + odd_size))
    if odd:
        last_bits = bits_of_float(abs(row_D[row_D.shape[0] - 1]))
        one_bits, two_bits = max(one_bits, last_bits), max(two_bits, last_bits)
    return float_of_bits(one_bits), float_of_bits(two_bits)


@compiled
def heaviest_sum(row_D: Any, factor: Any) -> Any:
    """The largest sum of the squares of a row, times a factor, that belong to one sum."""
    whole, heaviest, zero = row_D.shape[0] // SEGMENT, np.float32(0), np.float32(0)
    for segment in range(whole):
        even, odd = zero, zero
        for k in range(SEGMENT):  # so many that the compiler knows it
            value = row_D[segment * SEGMENT + k] * factor
            even += zero if k & 2 else value * value
            odd += value * value if k & 2 else zero
        heaviest = max(heaviest, even, odd)
    even, odd = zero, zero
    for k in range(row_D.shape[0] - whole * SEGMENT):
        value = row_D[whole * SEGMENT + k] * factor
        even += zero if k & 2 else value * value
        odd += value * value if k & 2 else zero
    return max(heaviest, even, odd)


@compiled
def scale_of(row_D: Any, limits: Any) -> Any:
    """The least scale with which a row keeps to its limits; not a number where the row is none."""
    most, two, norm = limits
    largest, largest_two = largest_sizes(row_D)
    # In parts of the largest, whose squares are not lost however small the row is.
    inverse = np.float32(1) / largest if largest > np.float32(0) else np.float32(0)
    heaviest = heaviest_sum(row_D, inverse)
    shares = max(np.float32(1 / most), np.sqrt(heaviest) / np.float32(norm))
    return max(largest * shares, largest_two / np.float32(two))


@compiled
def round_row(row_D: Any, whole_P: Any, limits: Any) -> Any:
    """Rounds a row to whole numbers.

    Args:
        row_D: Float32.
        whole_P: Written: int8, zeros beyond the row.
        limits: See `Limits`.

    Returns:
        The scale; at least the norm of the row and that of what rounding took from it, each wide
        enough for float32's own errors in a product of D terms. Not a number, or infinite, where
        the row is.
    """
    scale, zero = scale_of(row_D, limits), np.float32(0)
    inverse = np.float32(1) / scale if scale > zero else zero
    square, square_of_rest = zero, zero
    for column in range(row_D.shape[0]):
        value = row_D[column] * inverse
        whole = np.rint(value)
        rest = value - whole
        whole_P[column] = np.int8(whole)
        square += value * value
        square_of_rest += rest * rest
    whole_P[row_D.shape[0] :] = 0
    slack = np.float32((row_D.shape[0] + FEW) * ONE_STEP)
    row_norm = scale * np.sqrt(square) * (np.float32(1) + slack)
    rest_norm = scale * np.sqrt(square_of_rest) * (np.float32(1) + slack)
    return scale, row_norm, rest_norm + slack * row_norm
