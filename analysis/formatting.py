"""Numbers as people read them, the same in the terminal and in the report."""

import math

MISSING = "-"
"""Stands where a value is not known or may not be said."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits and no exponent between 0.0001 and a million.

    Missing values (None, NaN) become a dash.
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent < 6:
        return f"{value:.{digits - 1}e}"
    decimals = max(digits - 1 - exponent, 0)
    return f"{value:,.{decimals}f}"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if value is None or math.isnan(value) else f"{value:,.0f}"


def percent(fraction: float | None, digits: int = 3) -> str:
    """A fraction in percent."""
    if fraction is None or math.isnan(fraction):
        return MISSING
    return f"{number(100 * fraction, digits)} %"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """An interval in words."""
    return f"{number(low, digits)} to {number(high, digits)}"


def signed_percent(log_error: float | None) -> str:
    """A signed log error as the percentage that L0 is off its target: ln 1.05 is +5.0 %."""
    if log_error is None or math.isnan(log_error):
        return MISSING
    return f"{100 * math.expm1(log_error):+.1f} %"


def duration(seconds: float | None) -> str:
    """Seconds as 45 s, 12 min, 3.4 h."""
    if seconds is None or math.isnan(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def target_number(count: float | None) -> str:
    """A target in latents: 64, 102.4."""
    return MISSING if count is None or math.isnan(count) else f"{count:.4g}"


def target(target_l0: float) -> str:
    """A target as the user gave it: below 1 a percentage of the latents, otherwise a count."""
    if target_l0 < 1:
        return f"{100 * target_l0:g} % of the latents"
    return f"{target_l0:g} active latents"


def exact(value: float) -> str:
    """A number for a command: the shortest text that is read as the same number."""
    if isinstance(value, int):
        return str(value)  # Hydra takes 1e+06 for a float, and no float for a whole number
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
