"""How a loop is compiled, and what it may use beside plain arithmetic. Needs numba.

A kernel is a function of one table (see `sae.kernels.launching`) that any number of threads run
at the same time: each takes piece after piece of the work, by counting up a number that they
share, until none is left. Which thread computes a piece never changes what is computed.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Protocol, TypeVar

import numpy as np

from sae.kernels.caching import KERNELS, forget_other_sources, name_by_sources
from sae.kernels.table import TABLE

# Typed as anything: numba describes its decorators by what they return to numba, not to Python.
numba: Any = import_module("numba")
ir: Any = import_module("llvmlite.ir")
types, intrinsic, overload = numba.types, numba.extending.intrinsic, numba.extending.overload
carray, cgutils = numba.carray, import_module("numba.core.cgutils")


def _use_wide_vectors() -> None:
    """Lets LLVM use vectors of 512 bits, which it has but avoids, unless the user chose.

    For code as dense as this they pay; NUMBA_CPU_FEATURES and `python -m benchmarks.profile_step`
    show how much.
    """
    binding: Any = import_module("llvmlite.binding")
    features = binding.get_host_cpu_features().flatten()
    if numba.config.CPU_NAME is None and "+avx512vl" in features:
        numba.config.CPU_NAME = binding.get_host_cpu_name()
        numba.config.CPU_FEATURES = f"{features},-prefer-256-bit"


_use_wide_vectors()
forget_other_sources(KERNELS / "__pycache__")


@cache
def target_has(*features: str) -> bool:
    """Whether machine code may use these features of a processor, as LLVM names them."""
    target: Any = import_module("numba.core.registry").cpu_target.target_context
    named = target.codegen().magic_tuple()[2].split(",")
    return all(f"+{feature}" in named for feature in features)


FASTMATH = {"contract", "reassoc"}
"""Sums may be split into several; NaN and infinity keep their meaning."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Kernel(Protocol):
    """A compiled kernel."""

    address: int
    """Of its machine code, a C function of the table's address."""


def compiled(function: Function) -> Function:
    """Compiles a function that kernels call."""
    # A thread that reads ahead must not keep the interpreter from the one that trains.
    options = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
    name_by_sources(function)
    return _with_cache(lambda cache: numba.njit(function, cache=cache, **options))


def kernel(function: Callable[[Any], None]) -> Kernel:
    """Compiles a kernel."""
    signature = types.void(types.CPointer(numba.from_dtype(TABLE)))
    name_by_sources(function)
    return _with_cache(lambda cache: numba.cfunc(signature, cache=cache)(function))


def _with_cache(compile_it: Callable[[bool], Any]) -> Any:
    """Keeps the machine code for the next process, where any folder for it can be written."""
    try:
        return compile_it(True)
    except RuntimeError:
        return compile_it(False)


@intrinsic
def count_up(_context: Any, _address: Any, _by: Any) -> Any:
    """The number at an address, which is counted up for whoever asks next."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, by = arguments
        place = builder.inttoptr(address, by.type.as_pointer())
        return builder.atomic_rmw("add", place, by, "monotonic")

    return types.int64(types.int64, types.int64), generate


@compiled
def next_piece(address: int) -> int:
    """The next piece of work by the number at an address."""
    return count_up(address, 1)


@intrinsic
def pointer(_context: Any, _address: Any) -> Any:
    """The pointer of an address."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


LINE = 64
"""Bytes that a processor fetches together."""


def write_prefetch(builder: Any, place: Any) -> None:
    """Writes the instruction that asks for the cache line of a pointer to a byte."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    # To be read, into all caches, as data.
    builder.call(function, [place, *[number(flag) for flag in (0, 3, 1)]])


@intrinsic
def prefetch(_context: Any, _address: Any) -> Any:
    """Asks for the cache line at an address, which need not exist."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        write_prefetch(builder, builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))
        return None

    return types.void(types.int64), generate


@compiled
def fetch(start: int, size: int) -> None:
    """Asks for so many bytes from an address on, which need not exist."""
    for byte in range(0, size, LINE):
        prefetch(start + byte)


@intrinsic
def float_of_bits(_context: Any, _bits: Any) -> Any:
    """The float32 of such bits."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def bits_of_float(_context: Any, _value: Any) -> Any:
    """The bits of a float32 as an unsigned integer, in the order of positive numbers."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def _load_64(builder: Any, address: Any, like: Any) -> Any:
    """Loads 64 numbers of the size of `like`."""
    numbers = ir.VectorType(ir.IntType(like.bitwidth), 64)
    place = builder.inttoptr(address, numbers.as_pointer())
    return builder.load(place, align=like.bitwidth // 8)


@intrinsic
def nonzero_bits(_context: Any, _address: Any, like: Any) -> Any:
    """A bit for each of the 64 numbers from an address on: whether it is not zero.

    They are of the size of `like`; one comparison of whole vectors where the processor has them.
    """

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        loaded = _load_64(builder, arguments[0], like)
        differs = builder.icmp_unsigned("!=", loaded, ir.Constant(loaded.type, [0] * 64))
        return builder.bitcast(differs, ir.IntType(64))

    return types.uint64(types.int64, like), generate


@intrinsic
def equal_bits(_context: Any, _address: Any, _other: Any, like: Any) -> Any:
    """A bit for each of the 64 numbers from two addresses on: whether they are the same.

    They are of the size of `like`; see `nonzero_bits`.
    """

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        left, right = (_load_64(builder, address, like) for address in arguments[:2])
        return builder.bitcast(builder.icmp_unsigned("==", left, right), ir.IntType(64))

    return types.uint64(types.int64, types.int64, like), generate


@intrinsic
def lowest_bit(_context: Any, _bits: Any) -> Any:
    """The place of the lowest bit that is set, of which there must be one."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@compiled
def rounded(value: Any) -> Any:
    """The bits of a float32, whose upper half are those of the nearest bfloat16."""
    bits = bits_of_float(value)
    # Half of what is cut off, less one where the last bit that stays is even.
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return np.uint32(bits + half)


def widen(value: Any) -> Any:
    """A float32 from a float32, or from the bits of a bfloat16."""
    raise NotImplementedError


def narrow(value: Any, like: Any) -> Any:
    """A float32 in the form of `like`: itself, or the bits of the nearest bfloat16."""
    raise NotImplementedError


# numba wants the annotations of an overload and of what it returns to be the same.
@overload(widen, inline="always")
def _widen(value: Any) -> Any:
    def of_bits(value: Any) -> Any:
        return float_of_bits(np.uint32(value) << np.uint32(16))

    def itself(value: Any) -> Any:
        return value

    return of_bits if value == types.uint16 else itself


@overload(narrow, inline="always")
def _narrow(value: Any, like: Any) -> Any:  # noqa: ARG001
    def upper_half(value: Any, like: Any) -> Any:  # noqa: ARG001
        return np.uint16(rounded(value) >> np.uint32(16))

    def itself(value: Any, like: Any) -> Any:  # noqa: ARG001
        return value

    return upper_half if like == types.uint16 else itself
