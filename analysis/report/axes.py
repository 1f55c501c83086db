"""Logarithmic axes with plain numbers."""

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


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers within the limits of a logarithmic axis, a few of them where there are.

    Args:
        low: Lower limit, positive.
        high: Upper limit.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [
            step * 10.0**decade
            for decade in decades
            for step in steps
            if low <= step * 10.0**decade <= high
        ]
        if len(ticks) >= _FEWEST_TICKS:
            break
    if not ticks:
        return [_middle(low, high)]
    stride = math.ceil(len(ticks) / 9)  # many decades: every second or third
    return ticks[::stride]


def _middle(low: float, high: float) -> float:
    """The number of fewest digits near the middle, where no round one lies between the limits."""
    centre = math.sqrt(low * high)
    rounded = (float(f"{centre:.{digits}g}") for digits in range(1, 17))
    return next((value for value in rounded if low <= value <= high), centre)


def log_axis(axis: Axis, low: float, high: float, ticks: Sequence[float] | None = None) -> None:
    """Sets an axis to logarithmic between two limits, with plain numbers at round ticks."""
    axes: Axes = axis.axes  # pyright: ignore[reportAssignmentType]
    if axis is axes.xaxis:
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    axis.set_major_locator(FixedLocator(list(ticks) if ticks else log_ticks(low, high)))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_locator(NullLocator())


def log_limits(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Limits around positive values with a margin, as a share of their span in the logarithm."""
    low, high = math.log(min(values)), math.log(max(values))
    pad = max(margin * (high - low), 0.08)
    return math.exp(low - pad), math.exp(high + pad)


def _plain(value: float, _position: int | None = None) -> str:
    return f"{value:g}" if 1e-4 <= value < 1e6 else f"{value:.0e}".replace("e-0", "e-")
