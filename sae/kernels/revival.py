"""The loop over the gradients of dead latents; see `sae.architectures.auxk`."""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, narrow, next_piece, pointer, widen
from sae.kernels.rows import ROWS


@compiled
def mask_dead_row(gradient: Any, latents: Any, z: Any, row: int, push: Any) -> Any:
    """Zeroes the gradient where a latent is zero, less `push` where z is negative; its sum."""
    total, zero = np.float32(0), np.float32(0)
    for token in range(gradient.shape[1]):
        value = widen(gradient[row, token])
        value = zero if widen(latents[row, token]) == zero else value
        value = value - push if widen(z[row, token]) < zero else value
        gradient[row, token] = narrow(value, gradient[row, token])
        total += value
    return total


@kernel
def mask_dead(address: Any) -> None:
    """`mask_dead_row` on all rows, with `added` as the push; the sums to `gradient_sums`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    push = carray(pointer(table.added), shape[0], np.float32)
    sums = carray(pointer(table.gradient_sums), shape[0], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    half_z = carray(pointer(table.pre_activations), shape, np.uint16)
    float_z = carray(pointer(table.pre_activations), shape, np.float32)
    half_gradient = carray(pointer(table.latent_gradient), shape, np.uint16)
    gradient = carray(pointer(table.latent_gradient), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                sums[row] = mask_dead_row(half_gradient, halves, half_z, row, push[row])
            else:
                sums[row] = mask_dead_row(gradient, floats, float_z, row, push[row])
