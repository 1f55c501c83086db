"""The loops over gated's two paths; see `sae.architectures.gated`."""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, narrow, next_piece, pointer, widen
from sae.kernels.rows import ROWS


@compiled
def open_row(p: Any, latents: Any, gates: Any, row: int, biases: Any, sums: Any) -> None:
    """Magnitude where the gate is open, and how far it is.

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
    open_total = np.float32(0)
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
    sums[0], sums[1], sums[2] = count, total, open_total


@kernel
def open_gates(address: Any) -> None:
    """`open_row` on all rows of `pre_activations`, into `latents` and `gates`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    biases = carray(pointer(table.path_biases), (shape[0], 3), np.float32)
    sums = carray(pointer(table.path_sums), (shape[0], 3), np.float32)
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
                open_row(half_p, half_latents, half_gates, row, biases[row], sums[row])
            else:
                open_row(p, latents, gates, row, biases[row], sums[row])


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
