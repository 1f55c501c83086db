"""The loops over gated's two paths; see `sae.architectures.gated`."""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, narrow, next_piece, pointer, widen
from sae.kernels.marks import BLOCK, find_tokens, mark_row, marks_shape
from sae.kernels.row_sums import add_rows, dot_rows
from sae.kernels.rows import ROWS
from sae.kernels.sparse import start_gradients, sum_of_squares


@compiled
def open_row(p: Any, latents: Any, gates: Any, row: int, biases: Any, sums: Any) -> Any:
    """Magnitude where the gate is open, and how far it is; returns on how many tokens.

    Args:
        p: The product that both paths share.
        latents: Written: H(gate) relu(magnitude).
        gates: Written: relu(gate).
        row: The latent.
        biases: b_gate, exp(r_mag) and b_mag of the latent.
        sums: Written: on how many tokens the latent is on, its sum, and the gate's.
    """
    gate_bias, gain, magnitude_bias = biases[0], biases[1], biases[2]
    count, total, zero = np.float32(0), np.float32(0), np.float32(0)
    open_total, open_count = np.float32(0), np.float32(0)
    for token in range(p.shape[1]):
        value = widen(p[row, token])
        gate = value + gate_bias
        gate = zero if gate <= zero else gate  # noqa: FURB136 - a maximum would lose NaN
        magnitude = gain * value + magnitude_bias
        magnitude = zero if magnitude <= zero or gate == zero else magnitude
        stored = narrow(magnitude, p[row, token])
        latents[row, token] = stored
        gates[row, token] = narrow(gate, p[row, token])
        count += zero if widen(stored) == zero else np.float32(1)
        total += magnitude
        open_total += gate
        open_count += zero if gate == zero else np.float32(1)
    sums[0], sums[1], sums[2] = count, total, open_total
    return open_count


@kernel
def open_gates(address: Any) -> None:
    """`open_row` on all rows of `pre_activations`, into `latents` and `gates`.

    `firings` and `marks` are those of the gates, which a latent that is on has open.
    """
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    biases = carray(pointer(table.path_biases), (shape[0], 3), np.float32)
    sums = carray(pointer(table.path_sums), (shape[0], 3), np.float32)
    firings = carray(pointer(table.firings), shape[0], np.float32)
    marks = carray(pointer(table.marks), marks_shape(shape), np.uint64)
    half_p = carray(pointer(table.pre_activations), shape, np.uint16)
    half_latents = carray(pointer(table.latents), shape, np.uint16)
    half_gates = carray(pointer(table.gates), shape, np.uint16)
    p = carray(pointer(table.pre_activations), shape, np.float32)
    latents = carray(pointer(table.latents), shape, np.float32)
    gates = carray(pointer(table.gates), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                firings[row] = open_row(
                    half_p, half_latents, half_gates, row, biases[row], sums[row]
                )
                mark_row(half_gates, np.uint16(0), row, marks)
            else:
                firings[row] = open_row(p, latents, gates, row, biases[row], sums[row])
                mark_row(gates, np.uint32(0), row, marks)


@compiled
def join_row(  # noqa: PLR0913 - numba takes no object of several types
    p: Any,
    latents: Any,
    gates: Any,
    gradient: Any,
    gate_gradient: Any,
    row: int,
    gain: Any,
    added: Any,
    sums: Any,
) -> None:
    """The gradient of p, from those of the magnitude and the gate.

    Args:
        p: The product that both paths share.
        latents: As `open_row` wrote them.
        gates: Likewise.
        gradient: Of f.
        gate_gradient: Of relu(gate); overwritten by that of p.
        row: The latent.
        gain: exp(r_mag).
        added: What the penalty adds to the gate's gradient.
        sums: Written: the sums of both paths' gradients, and of the magnitude's times p.
    """
    zero = np.float32(0)
    gate_total, total, product = np.float32(0), np.float32(0), np.float32(0)
    for token in range(p.shape[1]):
        through_f = widen(gradient[row, token])
        through_f = zero if widen(latents[row, token]) == zero else through_f
        through_gate = widen(gate_gradient[row, token]) + added
        through_gate = zero if widen(gates[row, token]) == zero else through_gate
        gate_total += through_gate
        total += through_f
        product += through_f * widen(p[row, token])
        joined = through_gate + gain * through_f
        gate_gradient[row, token] = narrow(joined, p[row, token])
    sums[0], sums[1], sums[2] = gate_total, total, product


@kernel
def join_paths(address: Any) -> None:
    """`join_row` on all rows of `latent_gradient` and `gate_gradient`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    biases = carray(pointer(table.path_biases), (shape[0], 3), np.float32)
    added = carray(pointer(table.added), shape[0], np.float32)
    sums = carray(pointer(table.path_sums), (shape[0], 3), np.float32)
    half_p = carray(pointer(table.pre_activations), shape, np.uint16)
    half_latents = carray(pointer(table.latents), shape, np.uint16)
    half_gates = carray(pointer(table.gates), shape, np.uint16)
    half_gradient = carray(pointer(table.latent_gradient), shape, np.uint16)
    half_gate_gradient = carray(pointer(table.gate_gradient), shape, np.uint16)
    p = carray(pointer(table.pre_activations), shape, np.float32)
    latents = carray(pointer(table.latents), shape, np.float32)
    gates = carray(pointer(table.gates), shape, np.float32)
    gradient = carray(pointer(table.latent_gradient), shape, np.float32)
    gate_gradient = carray(pointer(table.gate_gradient), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            gain = biases[row, 1]
            if table.half:
                join_row(
                    half_p, half_latents, half_gates, half_gradient, half_gate_gradient,
                    row, gain, added[row], sums[row],
                )  # fmt: skip
            else:
                join_row(
                    p, latents, gates, gradient, gate_gradient,
                    row, gain, added[row], sums[row],
                )  # fmt: skip


@compiled
def join_found(  # noqa: PLR0913 - numba takes no object of several types
    p: Any, row: int, found: Any, values: Any, through_f: Any, joined: Any, count: int, gain: Any
) -> Any:
    """As `join_row`, on the tokens with an open gate.

    Args:
        p: The product that both paths share.
        row: The latent.
        found: The tokens.
        values: f there.
        through_f: The gradient of f.
        joined: That of the gate; overwritten by that of p.
        count: How many they are.
        gain: exp(r_mag).

    Returns:
        The sum of the magnitude's gradients, and of those times p.
    """
    total, product = np.float32(0), np.float32(0)
    for k in range(count):
        slope = np.float32(0) if values[k] == np.float32(0) else through_f[k]
        total += slope
        product += slope * widen(p[row, found[k]])
        joined[k] += gain * slope
    return total, product


@compiled
def backward_row(  # noqa: PLR0913 - numba takes no object of several types
    p: Any,
    latents: Any,
    marks: Any,
    row: int,
    rows: Any,
    weights: Any,
    gain_and_added: Any,
    gradients: Any,
    scratch: Any,
    sums: Any,
) -> None:
    """Both weights' gradients of a latent, and its sums as `join_row`.

    Args:
        p: The product that both paths share.
        latents: f.
        marks: Where gates are open.
        row: The latent.
        rows: The gradients of x_hat and of the gates' reconstruction, and x - b_dec.
        weights: The latent's row of W_dec.
        gain_and_added: exp(r_mag), and what the penalty adds to the gate's gradient.
        gradients: Written: the latent's rows of W_dec's gradient and W_enc's.
        scratch: Room for tokens as `find_tokens` wants it, int32 once and float32 three times.
        sums: Written.
    """
    output, gate_output, inputs = rows
    gain, added = gain_and_added
    found, values, through_f, joined = scratch
    zero = np.float32(0)
    start_gradients(zero, weights, gradients[0], gradients[1])
    count = find_tokens(latents, marks, row, found, values)
    dot_rows(through_f, output, found, weights, zero, count)
    sums[0] = dot_rows(joined, gate_output, found, weights, added, count)
    sums[1], sums[2] = join_found(p, row, found, values, through_f, joined, count, gain)
    add_rows(gradients[0], output, found, values, count)
    add_rows(gradients[1], inputs, found, joined, count)


@kernel
def backward_paths(address: Any) -> None:
    """`backward_row` on all latents, with the squares of their gradients."""
    table = carray(address, 1)[0]
    shape, weights_shape = (table.latent_dim, table.batch), (table.latent_dim, table.d_in)
    rows_shape, words_shape = (table.batch, table.d_in), (table.batch, table.d_in // 2)
    biases = carray(pointer(table.path_biases), (shape[0], 3), np.float32)
    sums = carray(pointer(table.path_sums), (shape[0], 3), np.float32)
    added = carray(pointer(table.added), shape[0], np.float32)
    squares = carray(pointer(table.gradient_squares), shape[0], np.float32)
    marks = carray(pointer(table.marks), marks_shape(shape), np.uint64)
    half_p = carray(pointer(table.pre_activations), shape, np.uint16)
    half_latents = carray(pointer(table.latents), shape, np.uint16)
    p = carray(pointer(table.pre_activations), shape, np.float32)
    latents = carray(pointer(table.latents), shape, np.float32)
    words = (
        carray(pointer(table.output_rows), words_shape, np.uint32),
        carray(pointer(table.gate_rows), words_shape, np.uint32),
        carray(pointer(table.input_rows), words_shape, np.uint32),
    )
    rows = (
        carray(pointer(table.output_rows), rows_shape, np.float32),
        carray(pointer(table.gate_rows), rows_shape, np.float32),
        carray(pointer(table.input_rows), rows_shape, np.float32),
    )
    W_dec = carray(pointer(table.W_dec), weights_shape, np.float32)
    decoder = carray(pointer(table.W_dec_gradient), weights_shape, np.float32)
    encoder = carray(pointer(table.W_enc_gradient), weights_shape, np.float32)
    wide = table.batch + BLOCK
    floats = np.empty((3, wide), np.float32)
    scratch = (np.empty(wide, np.int32), floats[0], floats[1], floats[2])
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            numbers, gradients = (biases[row, 1], added[row]), (decoder[row], encoder[row])
            if table.half:
                backward_row(
                    half_p, half_latents, marks, row, words,
                    W_dec[row], numbers, gradients, scratch, sums[row],
                )  # fmt: skip
            else:
                backward_row(
                    p, latents, marks, row, rows,
                    W_dec[row], numbers, gradients, scratch, sums[row],
                )  # fmt: skip
            squares[row] = sum_of_squares(decoder[row], encoder[row])
