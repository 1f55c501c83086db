"""The loops over gated's two paths; see `sae.architectures.gated`."""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, narrow, next_piece, pointer, widen
from sae.kernels.marks import mark_row, marks_shape
from sae.kernels.row_sums import add_rows, dot_rows, sum_of_squares
from sae.kernels.rows import ROWS
from sae.kernels.sparse import encoder_gradients
from sae.kernels.token_lists import ROUND, fetch_next_row, list_of, list_tokens, room_for_lists


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
def gradients_of_paths(  # noqa: PLR0913 - numba takes no object of several types
    p: Any, rows: Any, W_dec: Any, gradient: Any, numbers: Any, lists: Any, through_f: Any,
    first: int, last: int,
) -> None:  # fmt: skip
    """A round's rows of W_dec's gradient with the sums of their squares, and p's gradients.

    Args:
        p: The product that both paths share.
        rows: The gradients of x_hat and of the gates' reconstruction.
        W_dec: All of it.
        gradient: Written: W_dec's gradient.
        numbers: For each latent b_gate, exp(r_mag) and b_mag, and what the penalty adds to the
            gate's gradient; written: sums as `join_row`, and the sum of squares.
        lists: Of the tokens with an open gate; written: p's gradients.
        through_f: Room for a float32 for each token.
        first: Of the round.
        last: Before which it ends.
    """
    output, gate_output = rows
    biases, added, sums, squares = numbers
    zero = np.float32(0)
    for row in range(first, last):
        fetch_next_row(W_dec, row, last)
        fetch_next_row(gradient, row, last)
        tokens, values, joined, count = list_of(lists, row - first)
        weights_D, out_D = W_dec[row], gradient[row]
        for column in range(out_D.shape[0]):
            out_D[column] = zero
        dot_rows(through_f, output, tokens, weights_D, zero, count)
        gate_sum = dot_rows(joined, gate_output, tokens, weights_D, added[row], count)
        of_f = join_found(p, row, tokens, values, through_f, joined, count, biases[row, 1])
        sums[row, 0], sums[row, 1], sums[row, 2] = gate_sum, of_f[0], of_f[1]
        add_rows(out_D, output, tokens, values, count)
        squares[row] = sum_of_squares(out_D)


@kernel
def backward_paths(address: Any) -> None:
    """Both weights' gradients with the squares of their rows, and sums as `join_row`."""
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
    )
    rows = (
        carray(pointer(table.output_rows), rows_shape, np.float32),
        carray(pointer(table.gate_rows), rows_shape, np.float32),
    )
    input_words = carray(pointer(table.input_rows), words_shape, np.uint32)
    inputs = carray(pointer(table.input_rows), rows_shape, np.float32)
    W_dec = carray(pointer(table.W_dec), weights_shape, np.float32)
    decoder = carray(pointer(table.W_dec_gradient), weights_shape, np.float32)
    encoder = carray(pointer(table.W_enc_gradient), weights_shape, np.float32)
    numbers, lists = (biases, added, sums, squares), room_for_lists(table.batch)
    through_f = np.empty(table.batch, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROUND
        if first >= shape[0]:
            return
        last = min(first + ROUND, shape[0])
        if table.half:
            list_tokens(half_latents, marks, first, last, lists)
            gradients_of_paths(
                half_p, words, W_dec, decoder, numbers, lists, through_f, first, last
            )
            encoder_gradients(input_words, encoder, squares, lists, first, last)
        else:
            list_tokens(latents, marks, first, last, lists)
            gradients_of_paths(p, rows, W_dec, decoder, numbers, lists, through_f, first, last)
            encoder_gradients(inputs, encoder, squares, lists, first, last)
