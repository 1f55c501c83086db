"""What a step does between products of all latents, in one pass each. Needs numba.

The products are torch's. Shape letters: B batch, D d_in, F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, narrow, next_piece, pointer, widen
from sae.kernels.marks import BLOCK
from sae.kernels.row_sums import sum_of_squares
from sae.kernels.sparse import encode_back
from sae.kernels.token_lists import ROUND


@compiled
def turn_to_gradient(x_hat_D: Any, x_D: Any, b_dec: Any, scale: Any, sums_D: Any) -> Any:
    """Turns a token's x_hat, without b_dec, into the gradient of its squared error, in place.

    Args:
        x_hat_D: Float32, or the bits of bfloat16.
        x_D: The token.
        b_dec: The decoder's bias.
        scale: Of the gradient, with respect to the error.
        sums_D: The gradient is added to it.

    Returns:
        The squared error.
    """
    total = np.float32(0)
    for column in range(x_D.shape[0]):
        error = widen(x_hat_D[column]) + (b_dec[column] - x_D[column])
        total += error * error
        sums_D[column] += error * scale
        x_hat_D[column] = narrow(error * scale, x_hat_D[column])
    return total


@kernel
def output_gradient(address: Any) -> None:
    """Turns `reconstruction` into 2 (x_hat - x) / B; `output_sums`, each token's `squares`."""
    table = carray(address, 1)[0]
    shape = (table.batch, table.d_in)
    blocks = (table.batch + BLOCK - 1) // BLOCK
    tokens = carray(pointer(table.tokens), shape, np.float32)
    b_dec = carray(pointer(table.b_dec), table.d_in, np.float32)
    halves = carray(pointer(table.reconstruction), shape, np.uint16)
    floats = carray(pointer(table.reconstruction), shape, np.float32)
    sums = carray(pointer(table.output_sums), (blocks, table.d_in), np.float32)
    squares = carray(pointer(table.squares), table.batch, np.float32)
    scale = np.float32(2 / table.batch)
    while True:
        block = next_piece(table.next_piece)
        if block >= blocks:
            return
        sums[block] = np.float32(0)
        for k in range(block * BLOCK, min((block + 1) * BLOCK, table.batch)):
            if table.half:
                squares[k] = turn_to_gradient(halves[k], tokens[k], b_dec, scale, sums[block])
            else:
                squares[k] = turn_to_gradient(floats[k], tokens[k], b_dec, scale, sums[block])


@compiled
def add_to_product(product_D: Any, weight: Any, row_D: Any, out_D: Any) -> None:
    """A row of a product, plus a weighted row: float32."""
    for column in range(out_D.shape[0]):
        out_D[column] = widen(product_D[column]) + weight * row_D[column]


@compiled
def widen_row(product_D: Any, out_D: Any) -> None:
    """A row of a product as float32."""
    for column in range(out_D.shape[0]):
        out_D[column] = widen(product_D[column])


@kernel
def decoder_gradient(address: Any) -> None:
    """`W_dec_gradient` = `product` + `row_weights` W_dec, its rows' `gradient_squares`.

    In float32 `product` is `W_dec_gradient` itself.
    """
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.d_in)
    halves = carray(pointer(table.product), shape, np.uint16)
    floats = carray(pointer(table.product), shape, np.float32)
    W_dec = carray(pointer(table.W_dec), shape, np.float32)
    gradient = carray(pointer(table.W_dec_gradient), shape, np.float32)
    weights = carray(pointer(table.row_weights), shape[0], np.float32)
    squares = carray(pointer(table.gradient_squares), shape[0], np.float32)
    while True:
        first = next_piece(table.next_piece) * ROUND
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROUND, shape[0])):
            if table.half:
                add_to_product(halves[row], weights[row], W_dec[row], gradient[row])
            else:
                add_to_product(floats[row], weights[row], W_dec[row], gradient[row])
            squares[row] = sum_of_squares(gradient[row])


@kernel
def encoder_gradient(address: Any) -> None:
    """`W_enc_gradient` = `product`; adds its rows' squares to `gradient_squares`; `parts`.

    The latter are as `sae.kernels.sparse.backward` leaves them.
    """
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.d_in)
    rounds = (shape[0] + ROUND - 1) // ROUND
    halves = carray(pointer(table.product), shape, np.uint16)
    gradient = carray(pointer(table.W_enc_gradient), shape, np.float32)
    squares = carray(pointer(table.gradient_squares), shape[0], np.float32)
    encoder_halves = carray(pointer(table.encoder), shape, np.uint16)
    encoder_floats = carray(pointer(table.encoder), shape, np.float32)
    sums = carray(pointer(table.gradient_sums), shape[0], np.float32)
    parts = carray(pointer(table.parts), (rounds, shape[1]), np.float32)
    while True:
        piece = next_piece(table.next_piece)
        if piece >= rounds:
            return
        first, last = piece * ROUND, min((piece + 1) * ROUND, shape[0])
        for row in range(first, last):
            if table.half:  # in float32 `product` is the gradient itself
                widen_row(halves[row], gradient[row])
            squares[row] += sum_of_squares(gradient[row])
        if table.half:
            encode_back(encoder_halves, sums, parts[piece], first, last)
        else:
            encode_back(encoder_floats, sums, parts[piece], first, last)
