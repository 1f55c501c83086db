"""What Hydra's sweep grammar means to Optuna: a distribution for every searched key.

| written | searched as |
|---|---|
| `choice(a,b)`, `shuffle(...)`, `sort(...)`, `glob(*)` | one of the values |
| `range(0,10,2)` | a number of the range; its stop is excluded, as everywhere in Hydra |
| `interval(a,b)`, `tag(log,interval(a,b))` | a number between the ends |
| `int(interval(a,b))` | a whole number between the ends, both included |
"""

from collections.abc import Iterable
from decimal import Decimal
from math import isfinite, prod
from typing import cast

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweeper.errors import SweepError

Value = str | int | float | bool | None
"""What Optuna keeps of a searched key."""


def distribution_of(override: Override) -> BaseDistribution:
    """The distribution that a swept override asks for.

    Args:
        override: A sweep, as Hydra's parser reads it.

    Raises:
        SweepError: An interval or a range without a value in it; the line names the key.
    """
    value = override.value()
    if isinstance(value, IntervalSweep):
        return _interval(override, value)
    if isinstance(value, RangeSweep) and not value.shuffle:
        return _range(override, value)
    listed = list(dict.fromkeys(_in_order(override)))
    if not listed:
        raise _refused(override, "name at least one value")
    return CategoricalDistribution(listed)


def _in_order(override: Override) -> Iterable[Value]:
    """The values as written: the order says nothing to a search, and must be that of last time."""
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        return [cast("Value", Transformer.encode(value)) for value in sweep.list]
    if isinstance(sweep, RangeSweep):
        return _numbers(sweep)
    return cast("Iterable[Value]", override.sweep_iterator(transformer=Transformer.encode))


def _interval(override: Override, interval: IntervalSweep) -> BaseDistribution:
    low, high = interval.start, interval.end
    if low is None or high is None or not low <= high or not isfinite(high - low):
        raise _refused(override, "be an interval from low to high")
    log = "log" in interval.tags
    if log and low <= 0:
        raise _refused(override, "start above 0 where it is searched in its logarithm")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _range(override: Override, sweep: RangeSweep) -> BaseDistribution:
    if sweep.start is None or sweep.stop is None or not sweep.step:
        raise _refused(override, "be a range with a step that is not 0")
    numbers = _numbers(sweep)
    if not numbers:
        raise _refused(override, "be a range with a number in it")
    low, high = min(numbers), max(numbers)
    step = abs(sweep.step)
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(int(low), int(high), step=int(step))
    return FloatDistribution(float(low), float(high), step=float(step))


def _numbers(sweep: RangeSweep) -> list[int] | list[float]:
    """The numbers of a range; decimals, so that steps of 0.1 end where they say."""
    start, stop, step = (Decimal(str(end)) for end in (sweep.start, sweep.stop, sweep.step))
    count = max(0, int(((stop - start) / step).to_integral_value("ROUND_CEILING")))
    numbers = [start + index * step for index in range(count)]
    if isinstance(sweep.range(), range):
        return [int(number) for number in numbers]
    return [float(number) for number in numbers]


def refuse_steps_in_a_logarithm(override: Override) -> None:
    """Refuses the tag `log` on a range, which hydra-optuna-sweeper passes over.

    Raises:
        SweepError: It is there: Optuna has no steps in a logarithm.
    """
    value = override.value()
    if isinstance(value, RangeSweep) and "log" in value.tags:
        raise _refused(override, "be an interval where it is searched in its logarithm")


def _refused(override: Override, rule: str) -> SweepError:
    key, written = override.get_key_element(), override.input_line
    return SweepError(f"{key} must {rule}, but got {written!r}.")


def grid_of(distribution: BaseDistribution) -> list[Value] | None:
    """Every value of a distribution, in order; None where there is no end of them."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        low, step = Decimal(str(distribution.low)), Decimal(str(distribution.step))
        count = int((Decimal(str(distribution.high)) - low) / step) + 1
        return [float(low + index * step) for index in range(count)]
    return None


def telling_values(distribution: BaseDistribution) -> list[Value]:
    """All choices, or both ends: enough to see whether a key takes a distribution's values."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low, distribution.high]


def number_of_points(distributions: Iterable[BaseDistribution]) -> int | None:
    """How many combinations of values there are; None where there is no end of them."""
    grids = [grid_of(distribution) for distribution in distributions]
    return None if None in grids else prod(len(grid or ()) for grid in grids)


def override_text(value: Value) -> str:
    """A searched value as Hydra reads it on a command line."""
    return "null" if value is None else str(value)
