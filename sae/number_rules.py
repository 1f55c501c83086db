"""Rules that numbers of every configuration obey, in one place."""

import math
from collections.abc import Mapping

from sae.errors import SaeError

WHOLE_LIMIT = 2**63
"""Whole numbers are below it: those of torch, and of the columns of a table, have 64 bits."""


def require_finite(prefix: str, numbers: Mapping[str, float | None]) -> None:
    """Refuses infinite numbers; NaN breaks the rule of each key itself, which is read before.

    Args:
        prefix: Where the keys are, such as "trainer.".
        numbers: By key; None where none is given.

    Raises:
        SaeError: One is infinite.
    """
    for name, value in numbers.items():
        if value is not None and math.isinf(value):
            raise SaeError(f"{prefix}{name} must be finite, but got {value}.")


def require_factor(key: str, value: float | None) -> None:
    """Raises a SaeError where what a usual value is multiplied by is not finite and above 1.

    Args:
        key: The setting, such as `outlier_norm`.
        value: What it was given; None where it is left out.
    """
    if value is not None and not value > 1:
        raise SaeError(f"{key} must be above 1, but got {value}.")
    require_finite("", {key: value})


def refuse_too_large(key: str, value: int) -> None:
    """Raises a SaeError where a whole number does not fit into 64 bits.

    Args:
        key: The setting, such as `trainer.total_steps`.
        value: What it was given.
    """
    if value >= WHOLE_LIMIT:
        raise SaeError(f"{key} must be below 2^63, but got {value}.")
