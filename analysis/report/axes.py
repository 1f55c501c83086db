"""Logarithmic axes with plain numbers, for whatever values there are."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

_STEPS = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0),
    (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0),
)
_FEWEST_TICKS = 4
_MOST_TICKS = 7
_DECADES_APART = (2, 3, 5, 10, 20, 50, 100)
# matplotlib overflows in the margins of limits nearer to the ends of what a float holds.
_SMALLEST, _LARGEST = 1e-300, 1e300
# In the logarithm; the six digits of a label tell ticks apart that lie as near as this.
_NARROWEST = 1e-4


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers within the limits of a logarithmic axis, at least one and at most seven.

    Args:
        low: Lower limit, positive.
        high: Upper limit.
    """
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    powers = _within(low, high, decades, (1.0,))
    if len(powers) > _MOST_TICKS:
        return _every_few(powers)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = _within(low, high, decades, steps)
        if len(ticks) >= _FEWEST_TICKS:
            break
    return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)] if ticks else [_middle(low, high)]


def _every_few(powers: Sequence[float]) -> list[float]:
    """As many of many powers of ten as there may be ticks, at round distances."""
    kept: list[float] = []
    for apart in _DECADES_APART:
        kept = [power for power in powers if round(math.log10(power)) % apart == 0]
        if len(kept) <= _MOST_TICKS:
            break
    return kept


def _within(
    low: float, high: float, decades: Sequence[int], steps: Sequence[float]
) -> list[float]:
    """The multiples of powers of ten that lie between the limits."""
    # Read as text: a product is off in the last digit, and no float at all below 1e-308.
    numbers = (float(f"{step}e{decade}") for decade in decades for step in steps)
    return [number for number in numbers if low <= number <= high]


def _middle(low: float, high: float) -> float:
    """The number of fewest digits near the middle, where no round one lies between the limits."""
    centre = math.sqrt(low) * math.sqrt(high)
    rounded = (float(f"{centre:.{digits}g}") for digits in range(1, 17))
    return next((value for value in rounded if low <= value <= high), centre)


def log_axis(axis: Axis, low: float, high: float, ticks: Sequence[float] | None = None) -> None:
    """Sets an axis to logarithmic between two limits, with plain numbers at round ticks."""
    low, high = _drawable(low, high)
    axes: Axes = axis.axes  # pyright: ignore[reportAssignmentType]
    # Until an axis has limits of its own it takes those of what is drawn, and may overflow.
    if axis is axes.xaxis:
        axes.set_autoscalex_on(False)
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_autoscaley_on(False)
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    axis.set_major_locator(FixedLocator(list(ticks) if ticks else log_ticks(low, high)))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_locator(NullLocator())


def log_limits(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Limits around positive values with a margin, as a share of their span in the logarithm.

    Values below 1e-300 and above 1e300 stay outside, since no axis can be drawn there.
    """
    low, high = math.log(min(values)), math.log(max(values))
    pad = max(margin * (high - low), 0.08)
    return _drawable(_exp(low - pad), _exp(high + pad))


def _exp(exponent: float) -> float:
    """The exponential, which is infinite beyond the largest float instead of an error."""
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf


def _drawable(low: float, high: float) -> tuple[float, float]:
    """The limits within what can be drawn, and apart."""
    low, high = (min(max(limit, _SMALLEST), _LARGEST) for limit in (low, high))
    if math.log(high) - math.log(low) >= _NARROWEST:
        return low, high
    return low * (1 - _NARROWEST), high * (1 + _NARROWEST)


def _plain(value: float, _position: int | None = None) -> str:
    text = f"{value:.6g}"
    if 1e-4 <= value < 1e6:
        return text
    mantissa, _, exponent = f"{value:.5e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
