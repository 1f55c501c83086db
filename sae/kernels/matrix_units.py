"""Products of bfloat16 rows by a processor's matrix units (AMX). Needs numba.

A unit has eight tiles of 16 rows, 64 bytes each. One instruction multiplies a tile of 16 latents
by 32 columns with one of 16 tokens, whose numbers lie in pairs of columns [16 pairs, 16 tokens,
2], and adds the products to a tile of float32 sums. A block is 32 latents by 32 tokens: four tiles
of sums, two of latents, two of tokens. It takes as many instructions to load as to multiply, and
the processor is free for other work meanwhile.
"""

import ctypes
from collections.abc import Iterable
from functools import cache
from typing import Any

from sae.kernels.compiling import cgutils, intrinsic, ir, target_has, types

SIDE = 32
"""Latents, and tokens, of a block."""
TILE = 16
"""Of them in a tile."""
STEP = 32
"""Columns that one instruction multiplies."""
STEP_BYTES = 2 * STEP
TILE_BYTES = STEP_BYTES * TILE
SUMS_BYTES = 4 * SIDE
"""Of a latent's sums."""

_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18
"""Linux on x86-64: a process must ask for the units' registers (Documentation/arch/x86/xstate)."""

_LONG, _WORD, _BYTE, _FLOAT = ir.IntType(64), ir.IntType(32), ir.IntType(8), ir.FloatType()
_NOTHING, _ADDRESS = ir.VoidType(), _BYTE.as_pointer()
_FLOATS, _WORDS = ir.VectorType(_FLOAT, TILE), ir.VectorType(_WORD, TILE)
_FLAGS, _SHORT = ir.VectorType(ir.IntType(1), TILE), ir.IntType(TILE)
_PARTS = SIDE // TILE


@cache
def has_matrix_units() -> bool:
    """Whether machine code is made for a processor with the units, and may use them."""
    if not target_has("amx-tile", "amx-bf16", "avx512f"):
        return False
    system_call = getattr(ctypes.CDLL(None), "syscall", None)
    return system_call is not None and system_call(_ARCH_PRCTL, _REQUEST, _TILE_DATA) == 0


def _call(builder: Any, name: str, *arguments: Any) -> None:
    """Writes an instruction of the units: tiles are told by number."""
    kind = ir.FunctionType(_NOTHING, [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _place(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _ADDRESS)


@intrinsic
def configure_tiles(_context: Any) -> Any:
    """Gives this thread its tiles, until `release_tiles`."""

    def generate(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        # A palette, then from byte 16 on each tile's bytes of a row, and from 48 on its rows.
        numbers = [1] + [0] * 15 + [64, 0] * 8 + [0] * 16 + [TILE] * 8 + [0] * 8
        layout = ir.Constant(ir.ArrayType(_BYTE, 64), [_BYTE(number) for number in numbers])
        place = cgutils.alloca_once_value(builder, layout)
        _call(builder, "llvm.x86.ldtilecfg", builder.bitcast(place, _ADDRESS))
        return None

    return types.void(), generate


@intrinsic
def release_tiles(_context: Any) -> Any:
    """Ends what `configure_tiles` has begun."""

    def generate(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        _call(builder, "llvm.x86.tilerelease")
        return None

    return types.void(), generate


@intrinsic
def clear_sums(_context: Any) -> Any:
    """Begins a block."""

    def generate(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        for tile in range(_PARTS * _PARTS):
            _call(builder, "llvm.x86.tilezero", _BYTE(tile))
        return None

    return types.void(), generate


@intrinsic
def add_products(
    _context: Any, _rows: Any, _row_bytes: Any, _tokens: Any, _tile_bytes: Any
) -> Any:
    """Adds a block's products of `STEP` columns to its sums.

    Its arguments are the address of the first latent's columns, the bytes from one latent to the
    next, the address of the first 16 tokens' columns, and the bytes from there to the next 16's.
    """

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        rows, row_bytes, tokens, tile_bytes = arguments
        load, multiply = "llvm.x86.tileloadd64", "llvm.x86.tdpbf16ps"
        # Past the nearest cache, which holds the latents' rows: each of its lines is read once.
        once = "llvm.x86.tileloaddt164"
        first_row, first_token = _PARTS * _PARTS, _PARTS * _PARTS + _PARTS
        for part in range(_PARTS):
            offset = builder.mul(tile_bytes, _LONG(part))
            place = _place(builder, builder.add(tokens, offset))
            _call(builder, once, _BYTE(first_token + part), place, _LONG(64))
        for part in range(_PARTS):
            offset = builder.mul(row_bytes, _LONG(part * TILE))
            place = _place(builder, builder.add(rows, offset))
            _call(builder, load, _BYTE(first_row + part), place, row_bytes)
            for other in range(_PARTS):
                tiles = (part * _PARTS + other, first_row + part, first_token + other)
                _call(builder, multiply, *[_BYTE(tile) for tile in tiles])
        return None

    return types.void(*[types.int64] * 4), generate


@intrinsic
def store_sums(_context: Any, _address: Any) -> Any:
    """Writes a block's sums, float32 [latents, tokens], to an address."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        for tile in range(_PARTS * _PARTS):
            latents, tokens = tile // _PARTS * TILE, tile % _PARTS * TILE
            offset = _LONG(latents * SUMS_BYTES + 4 * tokens)
            place = _place(builder, builder.add(arguments[0], offset))
            _call(builder, "llvm.x86.tilestored64", _BYTE(tile), place, _LONG(SUMS_BYTES))
        return None

    return types.void(types.int64), generate


@intrinsic
def bits_above(_context: Any, _sums: Any, _limit: Any) -> Any:
    """A bit for each of a latent's sums, from an address on: above a limit, or no number."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        sums, limit = arguments
        write, found = _Writer(builder), _LONG(0)
        limits = write.spread(limit)
        for part in range(_PARTS):
            values = write.load(_FLOATS, builder.add(sums, _LONG(4 * TILE * part)))
            above = builder.bitcast(builder.fcmp_unordered(">", values, limits), _SHORT)
            shifted = builder.shl(builder.zext(above, _LONG), _LONG(TILE * part))
            found = builder.or_(found, shifted)
        return found

    return types.uint64(types.int64, types.float32), generate


@intrinsic
def append_found(
    _context: Any, _sums: Any, _bias: Any, _bits: Any, _place: Any, _entries: Any
) -> Any:
    """Appends to a latent's list what it is at some tokens of a block; returns how many.

    Its arguments are the address of the sums, the bias, the tokens' bits, the place of the block's
    first token, and the address of the list's end. Up to `SIDE` words are written, without a jump.
    """

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        sums, bias, bits, place, entries = arguments
        write, done = _Writer(builder), _LONG(0)
        wide_bias, wide_place = write.spread(bias), write.spread(builder.trunc(place, _WORD))
        for part in range(_PARTS):
            values = write.load(_FLOATS, builder.add(sums, _LONG(4 * TILE * part)))
            values = write.upper_halves(builder.fadd(values, wide_bias))
            places = write.numbers(range(TILE * part, TILE * part + TILE))
            words = builder.or_(values, builder.add(wide_place, places))
            short = builder.trunc(builder.lshr(bits, _LONG(TILE * part)), _SHORT)
            end = builder.add(entries, builder.mul(done, _LONG(4)))
            write.store(write.compressed(words, builder.bitcast(short, _FLAGS)), end)
            done = builder.add(done, builder.ctpop(builder.zext(short, _LONG)))
        return done

    kinds = [types.int64, types.float32, types.uint64, types.int64, types.int64]
    return types.int64(*kinds), generate


class _Writer:
    """Writes machine code about registers of 16 numbers."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def load(self, kind: Any, address: Any) -> Any:
        """What lies at an address."""
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=4)

    def store(self, value: Any, address: Any) -> None:
        """Writes it to an address."""
        place = self.builder.inttoptr(address, value.type.as_pointer())
        self.builder.store(value, place, align=4)

    def spread(self, number: Any) -> Any:
        """A register full of one number."""
        kind = ir.VectorType(number.type, TILE)
        alone = self.builder.insert_element(ir.Constant(kind, ir.Undefined), number, _WORD(0))
        return self.builder.shuffle_vector(alone, alone, self.numbers([0] * TILE))

    def numbers(self, values: Iterable[int]) -> Any:
        """A register of whole numbers."""
        return ir.Constant(_WORDS, list(values))

    def upper_halves(self, values: Any) -> Any:
        """Floats rounded to bfloat16, with zeros after it: `sae.kernels.compiling.rounded`."""
        builder, bits = self.builder, self.builder.bitcast(values, _WORDS)
        is_odd = builder.and_(
            builder.lshr(bits, self.numbers([16] * TILE)), self.numbers([1] * TILE)
        )
        half = builder.add(is_odd, self.numbers([0x7FFF] * TILE))
        return builder.and_(builder.add(bits, half), self.numbers([0xFFFF0000] * TILE))

    def compressed(self, words: Any, flags: Any) -> Any:
        """Those words that are flagged, side by side, then zeros."""
        kind = ir.FunctionType(_WORDS, [_WORDS, _WORDS, _FLAGS])
        name = "llvm.x86.avx512.mask.compress.v16i32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [words, self.numbers([0] * TILE), flags])
