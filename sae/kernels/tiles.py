"""Which of a tile's latents may be on, by products of whole numbers. Needs numba.

One instruction (AVX2) multiplies 16 pairs of whole numbers of 16 bits and adds neighbours, where
the one for float32 multiplies eight: twice as many products in the same time. A tile is some
latents by 16 tokens. Its sums stay in registers while all columns go by: each latent's next two
whole numbers are multiplied with those of 16 tokens, which lie side by side for this.
"""

from collections.abc import Sequence
from typing import Any

from sae.kernels.compiling import cgutils, intrinsic, ir, target_has, types

LATENTS = 4
"""Of a tile. With two registers of sums each, they leave room for what is multiplied; six are as
fast, eight would not fit."""
TOKENS = 16
LANES = 8
"""Sums in a register."""

_LONG, _WORD, _HALF, _FLOAT = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.FloatType()
_HALVES, _SUMS = ir.VectorType(_HALF, 2 * LANES), ir.VectorType(_WORD, LANES)
_FLOATS = ir.VectorType(_FLOAT, LANES)
_BITS = ir.IntType(LANES)
_REGISTER_BYTES = 4 * LANES
_PARTS = range(TOKENS // LANES)


def has_tiles() -> bool:
    """Whether the instruction is there, and none that multiplies float32 as fast (AVX-512)."""
    return target_has("avx2") and not target_has("avx512f")


class _Writer:
    """Writes machine code about a tile."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        kind = ir.FunctionType(_SUMS, [_HALVES, _HALVES])
        self._multiply: Any = cgutils.get_or_insert_function(
            builder.module, kind, "llvm.x86.avx2.pmadd.wd"
        )

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

    def sums_of_products(self, rows: Sequence[Any], tokens: Any, pairs: Any) -> list[list[Any]]:
        """The products of rows, by their addresses, with a tile's tokens: registers of sums."""
        none = ir.Constant(_SUMS, [0] * LANES)
        sums = [[cgutils.alloca_once_value(self.builder, none) for _ in _PARTS] for _ in rows]
        with cgutils.for_range_slice(self.builder, _LONG(0), pairs, _LONG(1), _LONG) as (pair, _):
            place = self.builder.add(tokens, self.builder.mul(pair, _LONG(4 * TOKENS)))
            parts = [self.load(_HALVES, place, part * _REGISTER_BYTES, 32) for part in _PARTS]
            for row, row_sums in zip(rows, sums, strict=True):
                two = self.load(_WORD, self.builder.add(row, self.builder.mul(pair, _LONG(4))))
                both = self.builder.bitcast(self.spread(two), _HALVES)
                for part, total in zip(parts, row_sums, strict=True):
                    more = self.builder.call(self._multiply, [part, both])
                    self.builder.store(self.builder.add(self.builder.load(total), more), total)
        return [[self.builder.load(total) for total in row_sums] for row_sums in sums]

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
    _context: Any, _rows: Any, _row_bytes: Any, _latents: Any, _tokens: Any, _pairs: Any,
    _token_numbers: Any, _bits: Any,
) -> Any:  # fmt: skip
    """Writes which of a tile's latents may be on, 16 bits for each, eight bytes apart.

    Its arguments are the address of the latents' whole numbers and the bytes of a row of them; of
    four floats for each, its scale, norm, rest and bias; of the tokens' whole numbers [pairs, 16,
    2] and how many pairs they are; of three floats for each, [3, 16], their scales, reaches and
    rests; and of the bits.
    """

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        first, row_bytes, latents, tokens, pairs, token_numbers, bits = arguments
        write = _Writer(builder)
        rows = [builder.add(first, builder.mul(row_bytes, _LONG(k))) for k in range(LATENTS)]
        numbers = [
            [
                write.load(_FLOATS, token_numbers, 4 * (kind * TOKENS + part * LANES))
                for kind in range(3)
            ]
            for part in _PARTS
        ]
        for k, sums in enumerate(write.sums_of_products(rows, tokens, pairs)):
            latent = [write.spread(write.load(_FLOAT, latents, 16 * k + 4 * n)) for n in range(4)]
            found = _HALF(0)
            for part in _PARTS:
                some = write.may_be_on(sums[part], latent, numbers[part])
                found = builder.or_(found, builder.shl(some, _HALF(part * LANES)))
            place = builder.add(bits, _LONG(8 * k))
            builder.store(found, builder.inttoptr(place, _HALF.as_pointer()), align=2)
        return None

    return types.void(*[types.int64] * 7), generate
