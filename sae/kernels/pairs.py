"""Sums of bfloat16 rows, and products with them, by the instruction for pairs. Needs numba.

Where the processor has it (AVX512-BF16), one instruction multiplies 32 pairs of bfloat16 numbers
and adds them to 16 sums in float32. Rows are in words, as in `sae.kernels.row_sums`, a multiple of
`WORDS` long. They are read a strip at a time, whose sums stay in registers while all rows go by.
What rows are weighted with, and what they are multiplied by, is rounded to bfloat16.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sae.kernels.compiling import cgutils, intrinsic, ir, target_has, types, write_prefetch

WORDS = 16
"""Of a row in a register."""
AHEAD = 12
"""Rows that added ones are fetched ahead; where the list has ended, whatever is there, which does
no harm. Rows to be multiplied are not fetched (docs/performance.md)."""
STRIPS = (12, 4, 1)
"""Registers of a row in a strip: the widest that leaves its sums, two for each, among 32."""


def has_pairs() -> bool:
    """Whether machine code is made for a processor with the instruction."""
    return target_has("avx512bf16", "avx512bw", "avx512vl")


class _BFloat(ir.Type):
    """LLVM's bfloat, for which llvmlite has no name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_LONG, _WORD, _HALF, _FLOAT = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.FloatType()
_FLOATS, _HALVES = ir.VectorType(_FLOAT, WORDS), ir.VectorType(_HALF, 2 * WORDS)
_PAIRS, _ROW_WORDS = ir.VectorType(_BFloat(), 2 * WORDS), ir.VectorType(_WORD, WORDS)
_ZEROS = ir.Constant(_FLOATS, [0.0] * WORDS)
_REGISTER_BYTES = 4 * WORDS


def _in_lanes(order: Sequence[int], size: int) -> list[int]:
    """Places in two vectors of four lanes each, from places in a lane of either."""
    return [
        place % size + size * lane + place // size * 4 * size
        for lane in range(4)
        for place in order
    ]


_LOWER = _in_lanes([0, 8, 1, 9, 2, 10, 3, 11], 8)
_UPPER = _in_lanes([4, 12, 5, 13, 6, 14, 7, 15], 8)
"""Two rows' numbers side by side, without a step across lanes."""
_EVEN, _ODD = _in_lanes([0, 2, 4, 6], 4), _in_lanes([1, 3, 5, 7], 4)
"""From the sums of both, those of words' lower halves in order, and of the upper ones."""


class _Writer:
    """Writes machine code about rows."""

    def __init__(self, builder: Any, rows: Any, words: Any, indices: Any) -> None:
        self.builder, self._rows, self._indices = builder, rows, indices
        self._words = words
        kind = ir.FunctionType(_FLOATS, [_FLOATS, _PAIRS, _PAIRS])
        self._multiply_add: Any = cgutils.get_or_insert_function(
            builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512"
        )

    @contextmanager
    def counting(self, start: Any, stop: Any, step: int) -> Generator[Any]:
        """A loop."""
        with cgutils.for_range_slice(self.builder, start, stop, _LONG(step), _LONG) as (number, _):
            yield number

    def strips(self) -> Iterator[tuple[int, Any]]:
        """Loops over a row's strips: their registers, and the word that they begin with."""
        start = _LONG(0)
        for registers in STRIPS:
            size = registers * WORDS
            left = self.builder.sub(self._words, start)
            whole = self.builder.sub(left, self.builder.urem(left, _LONG(size)))
            stop = self.builder.add(start, whole)
            with self.counting(start, stop, size) as word:
                yield registers, word
            start = stop

    def place(self, address: Any, number: Any, kind: Any) -> Any:
        """A pointer to the number at a place of an array of 32 bits each."""
        offset = self.builder.mul(number, _LONG(4))
        return self.builder.inttoptr(self.builder.add(address, offset), kind.as_pointer())

    def load(self, kind: Any, address: Any, number: Any) -> Any:
        """What lies there."""
        return self.builder.load(self.place(address, number, kind), align=4)

    def add_to(self, address: Any, number: Any, value: Any) -> None:
        """Adds to what lies there."""
        before = self.load(value.type, address, number)
        place = self.place(address, number, value.type)
        self.builder.store(self.builder.fadd(before, value), place, align=4)

    def row(self, number: Any, word: Any) -> Any:
        """The address of a word of the row whose index is at a place of the list."""
        index = self.builder.zext(self.load(_WORD, self._indices, number), _LONG)
        first = self.builder.add(self.builder.mul(index, self._words), word)
        return self.builder.add(self._rows, self.builder.mul(first, _LONG(4)))

    def fetch(self, number: Any, word: Any, registers: int) -> None:
        """Asks for a strip of the row whose index is at a place of the list, or after its end."""
        row = self.row(number, word)
        for register in range(registers):
            write_prefetch(self.builder, self.place(row, _LONG(register * WORDS), ir.IntType(8)))

    def register(self, row: Any, register: int) -> Any:
        """A register full of a row."""
        return self.load(_HALVES, row, _LONG(register * WORDS))

    def shuffle(self, left: Any, right: Any, order: Sequence[int]) -> Any:
        """Elements of two vectors, by their places in both."""
        places = ir.Constant(ir.VectorType(_WORD, len(order)), list(order))
        return self.builder.shuffle_vector(left, right, places)

    def sums(self) -> Any:
        """A variable of sums, which are zero."""
        return cgutils.alloca_once_value(self.builder, _ZEROS)

    def add_products(self, sums: Any, left: Any, right: Any) -> None:
        """Adds the products of pairs to a variable of sums."""
        pairs = [self.builder.bitcast(value, _PAIRS) for value in (left, right)]
        more = self.builder.call(self._multiply_add, [self.builder.load(sums), *pairs])
        self.builder.store(more, sums)

    def rounded(self, values: Any) -> Any:
        """A vector of floats as the bits of bfloat16."""
        count = values.type.count
        halves = self.builder.fptrunc(values, ir.VectorType(_BFloat(), count))
        return self.builder.bitcast(halves, ir.VectorType(_HALF, count))

    def sums_of_four(self, vectors: Sequence[Any]) -> Any:
        """The sums of four vectors' elements, side by side."""
        a, b, c, d = vectors
        first, second = _in_lanes([0, 4, 1, 5], 4), _in_lanes([2, 6, 3, 7], 4)
        ab, cd = self._folded(a, b, first, second), self._folded(c, d, first, second)
        lanes = self._folded(ab, cd, _in_lanes([0, 1, 4, 5], 4), _in_lanes([2, 3, 6, 7], 4))
        halves = self._folded(lanes, lanes, range(8), range(8, 16))
        return self._folded(halves, halves, range(4), range(4, 8))

    def _folded(self, left: Any, right: Any, first: Sequence[int], second: Sequence[int]) -> Any:
        return self.builder.fadd(
            self.shuffle(left, right, first), self.shuffle(left, right, second)
        )


_SIGNATURE = types.void(*[types.int64] * 7)


@intrinsic
def add_pairs(
    _context: Any, _low: Any, _high: Any, _rows: Any, _words: Any, _indices: Any, _weights: Any,
    _count: Any,
) -> Any:  # fmt: skip
    """Adds weighted rows to floats.

    Its arguments are the addresses of the floats' lower and upper half and of the rows, the words
    of a row, the addresses of rows' indices and weights, and how many there are.
    """

    def generate(_target: Any, builder: Any, _of: Any, arguments: Any) -> Any:
        low, high, rows, words, indices, weights, count = arguments
        write = _Writer(builder, rows, words, indices)
        paired = builder.and_(count, _LONG(-2))
        for registers, word in write.strips():
            sums = [(write.sums(), write.sums()) for _ in range(registers)]
            with write.counting(_LONG(0), paired, 2) as number:
                for k in range(2):
                    write.fetch(builder.add(number, _LONG(AHEAD + k)), word, registers)
                both = [write.row(builder.add(number, _LONG(k)), word) for k in range(2)]
                pair = write.load(ir.VectorType(_FLOAT, 2), weights, number)
                _add_two_rows(write, sums, both, pair)
            with builder.if_then(builder.icmp_signed("!=", paired, count)):
                last = [write.row(paired, word)] * 2
                weight = write.load(_FLOAT, weights, paired)
                alone = ir.Constant(ir.VectorType(_FLOAT, 2), [0.0, 0.0])
                _add_two_rows(write, sums, last, builder.insert_element(alone, weight, _WORD(0)))
            for register, pair in enumerate(sums):
                left, right = (builder.load(variable) for variable in pair)
                first = builder.add(word, _LONG(register * WORDS))
                write.add_to(low, first, write.shuffle(left, right, _EVEN))
                write.add_to(high, first, write.shuffle(left, right, _ODD))
        return None

    return _SIGNATURE, generate


def _add_two_rows(
    write: _Writer, sums: Sequence[tuple[Any, Any]], rows: Sequence[Any], weights: Any
) -> None:
    """Adds a strip of two rows, weighted with a vector of two, to variables of sums."""
    word = write.builder.bitcast(write.rounded(weights), ir.VectorType(_WORD, 1))
    weight = write.shuffle(word, word, [0] * WORDS)
    for register, (lower, upper) in enumerate(sums):
        left, right = (write.register(row, register) for row in rows)
        write.add_products(lower, weight, write.shuffle(left, right, _LOWER))
        write.add_products(upper, weight, write.shuffle(left, right, _UPPER))


@intrinsic
def multiply_pairs(
    _context: Any, _low: Any, _high: Any, _rows: Any, _words: Any, _indices: Any, _totals: Any,
    _count: Any,
) -> Any:  # fmt: skip
    """Adds the products of rows with floats to totals; arguments as for `add_pairs`."""

    def generate(_target: Any, builder: Any, _of: Any, arguments: Any) -> Any:
        low, high, rows, words, indices, totals, count = arguments
        write = _Writer(builder, rows, words, indices)
        in_fours = builder.and_(count, _LONG(-4))
        for registers, word in write.strips():
            strip = _strip_in_words(write, low, high, registers, word)
            with write.counting(_LONG(0), in_fours, 4) as number:
                four = [write.row(builder.add(number, _LONG(k)), word) for k in range(4)]
                write.add_to(totals, number, write.sums_of_four(_products(write, strip, four)))
            with write.counting(in_fours, count, 1) as number:
                (sums,) = _products(write, strip, [write.row(number, word)])
                total = write.sums_of_four([sums, _ZEROS, _ZEROS, _ZEROS])
                write.add_to(totals, number, builder.extract_element(total, _WORD(0)))
        return None

    return _SIGNATURE, generate


def _strip_in_words(write: _Writer, low: Any, high: Any, registers: int, word: Any) -> list[Any]:
    """A strip of floats, rounded and in words."""
    builder, strip = write.builder, []
    for register in range(registers):
        first = builder.add(word, _LONG(register * WORDS))
        lower, upper = (
            builder.zext(write.rounded(write.load(_FLOATS, address, first)), _ROW_WORDS)
            for address in (low, high)
        )
        upper = builder.shl(upper, ir.Constant(_ROW_WORDS, [16] * WORDS))
        strip.append(builder.or_(lower, upper))
    return strip


def _products(write: _Writer, strip: Sequence[Any], rows: Sequence[Any]) -> list[Any]:
    """For each row a vector whose sum is its product with a strip."""
    # Two sums for a row, since the next addition to one must wait for the last.
    sums = [(write.sums(), write.sums()) for _ in rows]
    for register, words in enumerate(strip):
        for row, pair in zip(rows, sums, strict=True):
            write.add_products(pair[register % 2], words, write.register(row, register))
    return [write.builder.fadd(*[write.builder.load(one) for one in pair]) for pair in sums]
