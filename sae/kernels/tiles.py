"""Which of a tile's latents may be on, by products of whole numbers. Needs numba.

One instruction (AVX2) multiplies 32 pairs of whole numbers of 8 bits and adds neighbours, where
the one for float32 multiplies eight: four times as many products in the same time, though each
time sums of 16 bits must be added. A tile is some latents by 16 tokens. Its sums stay in registers
while all columns go by: each latent's next four whole numbers are multiplied with those of 16
tokens, which lie side by side for this. `sae.kernels.fixed_point` says why no sum overflows.
"""

from collections.abc import Sequence
from typing import Any

from sae.kernels.compiling import cgutils, intrinsic, ir, target_has, types
from sae.kernels.fixed_point import SEGMENT

LATENTS = 6
"""Of a tile. With two registers of sums each, they leave room for what is multiplied."""
TOKENS = 16
LANES = 8
"""Sums of 32 bits in a register."""
QUAD = 4
"""Whole numbers of a word, that is of a token in a register."""
QUADS = SEGMENT // QUAD
"""Of a segment."""

_LONG, _WORD, _HALF, _BYTE = (ir.IntType(bits) for bits in (64, 32, 16, 8))
_FLOAT = ir.FloatType()
_BYTES, _HALVES = ir.VectorType(_BYTE, 4 * LANES), ir.VectorType(_HALF, 2 * LANES)
_SUMS, _FLOATS = ir.VectorType(_WORD, LANES), ir.VectorType(_FLOAT, LANES)
_BITS = ir.IntType(LANES)
_REGISTER_BYTES = 4 * LANES
_START_BYTES = 4
_PARTS = range(TOKENS // LANES)


def has_tiles() -> bool:
    """Whether the instruction is there, and none that multiplies float32 as fast (AVX-512)."""
    return target_has("avx2") and not target_has("avx512f")


class _Writer:
    """Writes machine code about a tile."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self._multiply = self._function("llvm.x86.avx2.pmadd.ub.sw", _BYTES, _HALVES)
        self._add_neighbours = self._function("llvm.x86.avx2.pmadd.wd", _HALVES, _SUMS)

    def _function(self, name: str, operand: Any, result: Any) -> Any:
        kind = ir.FunctionType(result, [operand, operand])
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def load(self, kind: Any, address: Any, offset: int = 0, align: int = 4) -> Any:
        """What lies so many bytes behind an address."""
        place = self.builder.add(address, _LONG(offset))
        return self.builder.load(self.builder.inttoptr(place, kind.as_pointer()), align=align)

    def spread(self, value: Any) -> Any:
        """A register full of one number."""
        alone = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        alone = self.builder.insert_element(alone, value, _WORD(0))
        return self.builder.shuffle_vector(
            alone, alone, ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES)
        )

    def spread_word(self, kind: Any, address: Any) -> Any:
        """A register full of the word at an address."""
        return self.builder.bitcast(self.spread(self.load(_WORD, address)), kind)

    def sums_of_products(
        self, rows: Sequence[Any], starts: Sequence[Any], tokens: Any, segments: Any
    ) -> list[list[Any]]:
        """The products of latents' rows with a tile's tokens: registers of sums.

        Args:
            rows: Their addresses.
            starts: Addresses of what each segment's sums of 16 bits start with.
            tokens: Their address.
            segments: How many.
        """
        build = self.builder
        none, ones = ir.Constant(_SUMS, [0] * LANES), ir.Constant(_HALVES, [1] * 2 * LANES)
        sums = [[cgutils.alloca_once_value(build, none) for _ in _PARTS] for _ in rows]
        few = [[cgutils.alloca_once(build, _HALVES) for _ in _PARTS] for _ in rows]
        loop = cgutils.for_range_slice
        with loop(build, _LONG(0), segments, _LONG(1), _LONG) as (segment, _):
            start_offset = build.mul(segment, _LONG(_START_BYTES))
            for start, row_few in zip(starts, few, strict=True):
                both = self.spread_word(_HALVES, build.add(start, start_offset))
                for total in row_few:
                    build.store(both, total)
            first = build.mul(segment, _LONG(QUADS))
            # One quad at a time: of several, LLVM adds the products to one another first, for
            # which registers do not suffice.
            with loop(build, _LONG(0), _LONG(QUADS), _LONG(1), _LONG) as (quad, _):
                self._add_products(rows, tokens, build.add(first, quad), few)
            for row_sums, row_few in zip(sums, few, strict=True):
                for total, part in zip(row_sums, row_few, strict=True):
                    more = build.call(self._add_neighbours, [build.load(part), ones])
                    build.store(build.add(build.load(total), more), total)
        return [[build.load(total) for total in row_sums] for row_sums in sums]

    def _add_products(self, rows: Sequence[Any], tokens: Any, quad: Any, few: Any) -> None:
        """Adds the products of a quad to the sums of 16 bits."""
        build = self.builder
        place = build.add(tokens, build.mul(quad, _LONG(QUAD * TOKENS)))
        parts = [self.load(_BYTES, place, part * _REGISTER_BYTES, 32) for part in _PARTS]
        offset = build.mul(quad, _LONG(QUAD))
        for row, row_few in zip(rows, few, strict=True):
            four = self.spread_word(_BYTES, build.add(row, offset))
            for part, total in zip(parts, row_few, strict=True):
                more = build.call(self._multiply, [part, four])
                build.store(build.add(build.load(total), more), total)

    def may_be_on(self, sums: Any, latent: Sequence[Any], tokens: Sequence[Any]) -> Any:
        """A bit for each sum: whether z and the bias may exceed zero, or be no number.

        Args:
            sums: Of products of whole numbers.
            latent: Spread: its scale, norm, rest and bias.
            tokens: Their scales, reaches and rests.
        """
        build = self.builder
        scale, norm, rest, bias = latent
        token_scale, reach, token_rest = tokens
        product = build.fmul(build.sitofp(sums, _FLOATS), build.fmul(scale, token_scale))
        margin = build.fadd(build.fmul(token_rest, norm), build.fmul(reach, rest))
        most = build.fadd(build.fadd(product, bias), margin)
        is_on = build.fcmp_unordered(">", most, ir.Constant(_FLOATS, [0.0] * LANES))
        return build.zext(build.bitcast(is_on, _BITS), _HALF)


@intrinsic
def screen_tile(
    _context: Any, _rows: Any, _starts: Any, _segments: Any, _latents: Any, _tokens: Any,
    _token_numbers: Any, _bits: Any,
) -> Any:  # fmt: skip
    """Writes which of a tile's latents may be on, 16 bits for each, eight bytes apart.

    Its arguments are the address of the latents' whole numbers, of two numbers of 16 bits for each
    of their segments, with which its sums start, and how many segments they are; of four floats
    for each latent, its scale, norm, rest and bias; of the tokens' whole numbers [quads, 16, 4];
    of three floats for each, [3, 16], their scales, reaches and rests; and of the bits.
    """

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        first, starts, segments, latents, tokens, token_numbers, bits = arguments
        write = _Writer(builder)
        row_bytes = builder.mul(segments, _LONG(SEGMENT))
        start_bytes = builder.mul(segments, _LONG(_START_BYTES))
        rows = [builder.add(first, builder.mul(row_bytes, _LONG(k))) for k in range(LATENTS)]
        row_starts = [
            builder.add(starts, builder.mul(start_bytes, _LONG(k))) for k in range(LATENTS)
        ]
        numbers = [
            [
                write.load(_FLOATS, token_numbers, 4 * (kind * TOKENS + part * LANES))
                for kind in range(3)
            ]
            for part in _PARTS
        ]
        for k, sums in enumerate(write.sums_of_products(rows, row_starts, tokens, segments)):
            latent = [write.spread(write.load(_FLOAT, latents, 16 * k + 4 * n)) for n in range(4)]
            found = _HALF(0)
            for part in _PARTS:
                some = write.may_be_on(sums[part], latent, numbers[part])
                found = builder.or_(found, builder.shl(some, _HALF(part * LANES)))
            place = builder.add(bits, _LONG(8 * k))
            builder.store(found, builder.inttoptr(place, _HALF.as_pointer()), align=2)
        return None

    return types.void(*[types.int64] * 7), generate
