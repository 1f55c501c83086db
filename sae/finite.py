"""The rule that no number of a configuration is infinite, in one place."""

import math
from collections.abc import Mapping

from sae.errors import SaeError


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
