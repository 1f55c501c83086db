"""Adam's pass over a matrix, which leaves behind what the next step needs of it.

That is the rounded copy that it multiplies, and the norms of the rows.

The equations of `sae.optimizer`. Shape letters: F rows, D columns.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, next_piece, pointer, rounded
from sae.kernels.row_sums import SHIFT, pack_row, sum_of_squares
from sae.kernels.rows import ROWS

RATES = 7
"""Numbers in the table's `rates`."""
PLAIN, WORDS = 1, 2
"""Kinds of copies: bfloat16 as torch has it, or words as in `sae.kernels.row_sums`; 0: none."""


@compiled
def move_row(parameter: Any, gradient: Any, mean: Any, square: Any, rates: Any) -> None:
    """Moves a row against its gradient.

    Args:
        parameter: A row of the matrix.
        gradient: Its gradient.
        mean: Its first moment.
        square: Its second.
        rates: What gradients are multiplied by, 1 - beta1, beta2, 1 - beta2, the learning rate
            over 1 - beta1^t, 1 / sqrt(1 - beta2^t), and epsilon.
    """
    factor, mean_rate, square_decay, square_rate = rates[0], rates[1], rates[2], rates[3]
    step_size, root_factor, epsilon = rates[4], rates[5], rates[6]
    for column in range(parameter.shape[0]):
        slope = gradient[column] * factor
        first = mean[column] + mean_rate * (slope - mean[column])
        second = square_decay * square[column] + square_rate * slope * slope
        mean[column] = first
        square[column] = second
        parameter[column] -= step_size * first / (np.sqrt(second) * root_factor + epsilon)


@compiled
def copy_row(parameter: Any, copy: Any) -> None:
    """Rounds a row to bfloat16."""
    for column in range(parameter.shape[0]):
        copy[column] = np.uint16(rounded(parameter[column]) >> SHIFT)


@kernel
def adam(address: Any) -> None:
    """Moves `source`; writes its `packed` copy of the kind asked for, and its rows' `norms`."""
    table = carray(address, 1)[0]
    shape = (table.packed_rows, table.d_in)
    parameter = carray(pointer(table.source), shape, np.float32)
    gradient = carray(pointer(table.gradient), shape, np.float32)
    mean = carray(pointer(table.mean), shape, np.float32)
    square = carray(pointer(table.square), shape, np.float32)
    rates = carray(pointer(table.rates), RATES, np.float32)
    norms = carray(pointer(table.norms), shape[0], np.float32)
    plain = carray(pointer(table.packed), shape, np.uint16)
    words = carray(pointer(table.packed), (shape[0], shape[1] // 2), np.uint32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            move_row(parameter[row], gradient[row], mean[row], square[row], rates)
            norms[row] = np.sqrt(sum_of_squares(parameter[row]))
            if table.copy_kind == PLAIN:
                copy_row(parameter[row], plain[row])
            elif table.copy_kind == WORDS:
                pack_row(parameter[row], words[row])
