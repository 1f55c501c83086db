"""Marks: which latents are on, a bit for each of 64 tokens. Needs numba.

They are [blocks of 64 tokens, latent_dim], so that who looks for a token's latents reads one row,
and who looks for a latent's tokens need not read the latents again.
"""

from typing import Any

import numpy as np

from sae.kernels.compiling import (
    LINE,
    cgutils,
    compiled,
    intrinsic,
    ir,
    lowest_bit,
    nonzero_bits,
    overload,
    prefetch,
    target_has,
    types,
    widen,
)

BLOCK = 64
"""Tokens that a mark is about."""
LAST = np.uint64(1)
LANES = 16
"""Of a register of 32 bits each."""


@compiled
def marks_shape(shape: Any) -> Any:
    """Of the marks of latents [latent_dim, batch]."""
    return (shape[1] + BLOCK - 1) // BLOCK, shape[0]


@compiled
def mark_row(latents: Any, zero: Any, row: int, marks: Any) -> None:
    """Writes a row's marks; `zero` is an unsigned integer of the latents' size."""
    batch = latents.shape[1]
    size = latents.itemsize
    whole = batch // BLOCK
    start = latents.ctypes.data + row * batch * size
    for block in range(whole):
        marks[block, row] = nonzero_bits(start + block * BLOCK * size, zero)
    if whole < marks.shape[0]:
        bits = np.uint64(0)
        for token in range(whole * BLOCK, batch):
            is_on = np.uint64(latents[row, token] != 0)
            bits |= is_on << np.uint64(token - whole * BLOCK)
        marks[whole, row] = bits


@compiled
def fetch_marked(latents: Any, marks: Any, block: int, row: int) -> None:
    """Asks for the numbers that a mark tells of, and for no line of the cache without any."""
    bits = marks[block, row]
    if bits == 0:
        return
    size = latents.itemsize
    start = latents.ctypes.data + (row * latents.shape[1] + block * BLOCK) * size
    of_line = LINE // size
    first = (LAST << np.uint64(of_line)) - LAST
    for place in range(0, BLOCK, of_line):
        # Where there is none, a line that is at hand: a jump would be guessed wrong too often.
        is_marked = (bits >> np.uint64(place)) & first
        prefetch(start + place * size if is_marked else marks.ctypes.data)


def find_tokens(latents: Any, marks: Any, row: int, found: Any, values: Any) -> int:
    """Where a row is marked, and its float32 there; returns on how many tokens.

    Args:
        latents: Float32, or the bits of bfloat16.
        marks: Of the latents.
        row: The latent.
        found: Written: int32, with `BLOCK` places more than there are tokens.
        values: Written: float32, likewise.
    """
    raise NotImplementedError


def find_bit_by_bit(latents: Any, marks: Any, row: int, found: Any, values: Any) -> int:
    """`find_tokens` on any processor."""
    count = 0
    for block in range(marks.shape[0]):
        bits = marks[block, row]
        while bits != 0:
            token = block * BLOCK + lowest_bit(bits)
            found[count] = token
            values[count] = widen(latents[row, token])
            count += 1
            bits &= bits - LAST
    return count


def find_by_registers(latents: Any, marks: Any, row: int, found: Any, values: Any) -> int:
    """`find_tokens` where a processor has AVX-512, 16 tokens at a time."""
    count, size = 0, latents.itemsize
    start = latents.ctypes.data + row * latents.shape[1] * size
    for block in range(marks.shape[0]):
        bits = marks[block, row]
        if bits != 0:
            token = block * BLOCK
            count += list_marked(
                bits, token, start + token * size, found.ctypes.data + 4 * count,
                values.ctypes.data + 4 * count, latents.dtype.type(0),
            )  # fmt: skip
    return count


@intrinsic
def list_marked(
    _context: Any, _bits: Any, _token: Any, _address: Any, _found: Any, _values: Any, like: Any
) -> Any:
    """Writes the places of the bits of a mark that are set, and the numbers there; how many.

    Its arguments are the bits, what the lowest one's place is called, the address of the numbers,
    which are of the kind of `like`, and those that places and float32 are written to.
    """

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits, token, address, found, values, _ = arguments
        long, word, short = ir.IntType(64), ir.IntType(32), ir.IntType(LANES)
        flags, lanes = ir.VectorType(ir.IntType(1), LANES), ir.VectorType(word, LANES)
        numbers = ir.VectorType(ir.IntType(like.bitwidth), LANES)
        none = ir.Constant(lanes, [0] * LANES)

        def function(name: str, result: Any, *kinds: Any) -> Any:
            kind = ir.FunctionType(result, kinds)
            return cgutils.get_or_insert_function(builder.module, kind, name)

        load = function(
            f"llvm.masked.load.v{LANES}i{like.bitwidth}.p0",
            numbers, numbers.as_pointer(), flags, numbers,
        )  # fmt: skip
        compress = function("llvm.x86.avx512.mask.compress.v16i32", lanes, lanes, lanes, flags)
        count_bits = function("llvm.ctpop.i64", long, long)
        first = builder.insert_element(none, builder.trunc(token, word), word(0))
        first = builder.shuffle_vector(first, none, none)
        done = long(0)
        for part in range(0, BLOCK, LANES):
            part_bits = builder.trunc(builder.lshr(bits, long(part)), short)
            is_set = builder.bitcast(part_bits, flags)
            places = builder.add(first, ir.Constant(lanes, list(range(part, part + LANES))))
            source = builder.add(address, long(part * like.bitwidth // 8))
            loaded = builder.call(
                load,
                [
                    builder.inttoptr(source, numbers.as_pointer()),
                    is_set,
                    ir.Constant(numbers, [0] * LANES),
                ],
            )
            if like.bitwidth == LANES:
                # A float32 is a bfloat16 with zeros after it.
                shift = ir.Constant(lanes, [LANES] * LANES)
                loaded = builder.shl(builder.zext(loaded, lanes), shift)
            for packed, written in ((places, found), (loaded, values)):
                target = builder.add(written, builder.mul(done, long(4)))
                place = builder.inttoptr(target, lanes.as_pointer())
                builder.store(builder.call(compress, [packed, none, is_set]), place, align=4)
            done = builder.add(done, builder.call(count_bits, [builder.zext(part_bits, long)]))
        return done

    kinds = [types.uint64, *[types.int64] * 4, like]
    return types.int64(*kinds), generate


# ruff: noqa: ARG001 - numba wants an overload to name all arguments.
@overload(find_tokens)
def _find(latents: Any, marks: Any, row: int, found: Any, values: Any) -> Any:
    return find_by_registers if target_has("avx512f") else find_bit_by_bit
