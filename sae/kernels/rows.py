"""The loops over rows of latents: which are on with their sums, and the sparse products.

With most latents at zero, what a latent adds to x_hat and to the gradients concerns only the
tokens on which it is above zero. Rows are scanned for those in words of eight bytes (four bfloat16
or two float32), so the sparse kernels need a batch that four divides. Shape letters: B batch,
D d_in, F latent_dim.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import carray, compiled, kernel, narrow, next_piece, pointer, widen

ROWS = 32
"""Latents in a piece of work; assumption: enough pieces for any number of cores."""


@compiled
def activate_row(latents: Any, row: int, bias: Any, limit: Any, firings: Any, sums: Any) -> None:
    """Z + bias in place where above a limit, else zero; on how many tokens, and their sum."""
    count, total, zero = np.float32(0), np.float32(0), np.float32(0)
    for token in range(latents.shape[1]):
        value = widen(latents[row, token]) + bias
        value = zero if value <= limit else value
        stored = narrow(value, latents[row, token])
        latents[row, token] = stored
        count += zero if widen(stored) == zero else np.float32(1)
        total += value
    firings[row] = count
    sums[row] = total


@kernel
def activate(address: Any) -> None:
    """`activate_row` on all rows of `latents`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    bias = carray(pointer(table.bias), shape[0], np.float32)
    limits = carray(pointer(table.limits), shape[0], np.float32)
    firings = carray(pointer(table.firings), shape[0], np.float32)
    sums = carray(pointer(table.sums), shape[0], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                activate_row(halves, row, bias[row], limits[row], firings, sums)
            else:
                activate_row(floats, row, bias[row], limits[row], firings, sums)


@compiled
def mask_row(gradient: Any, latents: Any, row: int, added: Any) -> Any:
    """Adds to the latents' gradient, and zeroes it where they are zero; returns its sum."""
    total, zero = np.float32(0), np.float32(0)
    for token in range(gradient.shape[1]):
        value = widen(gradient[row, token]) + added
        value = zero if widen(latents[row, token]) == zero else value
        gradient[row, token] = narrow(value, gradient[row, token])
        total += value
    return total


@kernel
def mask(address: Any) -> None:
    """`mask_row` on all rows of `latent_gradient`, the sums into `gradient_sums`."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    added = carray(pointer(table.added), shape[0], np.float32)
    sums = carray(pointer(table.gradient_sums), shape[0], np.float32)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    half_gradient = carray(pointer(table.latent_gradient), shape, np.uint16)
    gradient = carray(pointer(table.latent_gradient), shape, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            if table.half:
                sums[row] = mask_row(half_gradient, halves, row, added[row])
            else:
                sums[row] = mask_row(gradient, floats, row, added[row])


@compiled
def add_rows(out: Any, place: int, rows: Any, indices: Any, weights: Any, count: int) -> None:
    """Adds `weights[k] * rows[indices[k]]` to `out[place]`, four rows at a time."""
    width = out.shape[1]
    done = 0
    while done + 4 <= count:
        a, b, c, d = indices[done], indices[done + 1], indices[done + 2], indices[done + 3]
        p, q, r, s = weights[done], weights[done + 1], weights[done + 2], weights[done + 3]
        for column in range(width):
            out[place, column] += (p * widen(rows[a, column]) + q * widen(rows[b, column])) + (
                r * widen(rows[c, column]) + s * widen(rows[d, column])
            )
        done += 4
    while done < count:
        a, p = indices[done], weights[done]
        for column in range(width):
            out[place, column] += p * widen(rows[a, column])
        done += 1


@compiled
def dot_rows(weights: Any, rows: Any, indices: Any, row_D: Any, added: Any, count: int) -> Any:
    """Sets `weights[k]` to `rows[indices[k]] . row_D + added`; returns their sum."""
    width, total = row_D.shape[0], np.float32(0)
    done = 0
    while done + 4 <= count:
        a, b, c, d = indices[done], indices[done + 1], indices[done + 2], indices[done + 3]
        p, q, r, s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for column in range(width):
            value = row_D[column]
            p += value * widen(rows[a, column])
            q += value * widen(rows[b, column])
            r += value * widen(rows[c, column])
            s += value * widen(rows[d, column])
        p, q, r, s = p + added, q + added, r + added, s + added
        weights[done], weights[done + 1], weights[done + 2], weights[done + 3] = p, q, r, s
        total += (p + q) + (r + s)
        done += 4
    while done < count:
        a, p = indices[done], np.float32(0)
        for column in range(width):
            p += row_D[column] * widen(rows[a, column])
        weights[done] = p + added
        total += weights[done]
        done += 1
    return total


@compiled
def decode_tokens(latents: Any, words: Any, first: int, last: int, W_dec: Any, out: Any) -> None:
    """x_hat of the tokens from `first` up to `last`, both multiples of a word's tokens.

    Latent by latent, so that a row of W_dec is fetched once for all these tokens.
    """
    step = latents.shape[1] // words.shape[1]
    width = out.shape[1]
    for token in range(first, last):
        for column in range(width):
            out[token, column] = np.float32(0)
    for row in range(latents.shape[0]):
        for word in range(first // step, last // step):
            if words[row, word] != 0:
                for token in range(word * step, word * step + step):
                    value = widen(latents[row, token])
                    if value != np.float32(0):
                        for column in range(width):
                            out[token, column] += value * W_dec[row, column]


@kernel
def decode(address: Any) -> None:
    """`reconstruction` = f W_dec, from the latents above zero."""
    table = carray(address, 1)[0]
    shape = (table.latent_dim, table.batch)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    four = carray(pointer(table.latents), (shape[0], shape[1] // 4), np.uint64)
    two = carray(pointer(table.latents), (shape[0], shape[1] // 2), np.uint64)
    W_dec = carray(pointer(table.W_dec), (table.latent_dim, table.d_in), np.float32)
    out = carray(pointer(table.reconstruction), (table.batch, table.d_in), np.float32)
    while True:
        first = next_piece(table.next_piece) * table.piece_tokens
        if first >= table.batch:
            return
        last = min(first + table.piece_tokens, table.batch)
        if table.half:
            decode_tokens(halves, four, first, last, W_dec, out)
        else:
            decode_tokens(floats, two, first, last, W_dec, out)


@compiled
def find_tokens(latents: Any, words: Any, row: int, found: Any, values: Any) -> int:
    """Where a row is above zero, and how far; returns on how many tokens."""
    count, step = 0, latents.shape[1] // words.shape[1]
    for word in range(words.shape[1]):
        if words[row, word] != 0:
            for token in range(word * step, word * step + step):
                value = widen(latents[row, token])
                found[count] = token
                values[count] = value
                count += value != np.float32(0)
    return count


@kernel
def backward(address: Any) -> None:
    """Both weights' gradients and `gradient_sums`, from the latents above zero.

    A row of W_dec's gradient starts as `row_weights` times W_dec's row; `added` is added to the
    gradient of every latent above zero.
    """
    table = carray(address, 1)[0]
    shape, weights_shape = (table.latent_dim, table.batch), (table.latent_dim, table.d_in)
    tokens_shape = (table.batch, table.d_in)
    halves = carray(pointer(table.latents), shape, np.uint16)
    floats = carray(pointer(table.latents), shape, np.float32)
    four = carray(pointer(table.latents), (shape[0], shape[1] // 4), np.uint64)
    two = carray(pointer(table.latents), (shape[0], shape[1] // 2), np.uint64)
    half_output = carray(pointer(table.output_gradient), tokens_shape, np.uint16)
    output = carray(pointer(table.output_gradient), tokens_shape, np.float32)
    half_inputs = carray(pointer(table.inputs), tokens_shape, np.uint16)
    inputs = carray(pointer(table.inputs), tokens_shape, np.float32)
    W_dec = carray(pointer(table.W_dec), weights_shape, np.float32)
    decoder = carray(pointer(table.W_dec_gradient), weights_shape, np.float32)
    encoder = carray(pointer(table.W_enc_gradient), weights_shape, np.float32)
    added = carray(pointer(table.added), shape[0], np.float32)
    sums = carray(pointer(table.gradient_sums), shape[0], np.float32)
    row_weights = carray(pointer(table.row_weights), shape[0], np.float32)
    found = np.empty(table.batch + 1, np.int32)
    values = np.empty(table.batch + 1, np.float32)
    gradients = np.empty(table.batch + 1, np.float32)
    while True:
        first = next_piece(table.next_piece) * ROWS
        if first >= shape[0]:
            return
        for row in range(first, min(first + ROWS, shape[0])):
            for column in range(table.d_in):
                decoder[row, column] = row_weights[row] * W_dec[row, column]
            for column in range(table.d_in):
                encoder[row, column] = np.float32(0)
            if table.half:
                count = find_tokens(halves, four, row, found, values)
                sums[row] = dot_rows(gradients, half_output, found, W_dec[row], added[row], count)
                add_rows(decoder, row, half_output, found, values, count)
                add_rows(encoder, row, half_inputs, found, gradients, count)
            else:
                count = find_tokens(floats, two, row, found, values)
                sums[row] = dot_rows(gradients, output, found, W_dec[row], added[row], count)
                add_rows(decoder, row, output, found, values, count)
                add_rows(encoder, row, inputs, found, gradients, count)
