"""How a kernel's work is cut up."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """What one program of a kernel has in its registers at once; powers of two."""

    rows: int
    columns: int = 16
    tokens: int = 16
    warps: int
    stages: int = 1
    """Turns of the inner loop whose loads are under way at once."""

    def fitting_columns(self, columns: int) -> int:
        """No more columns than a matrix needs."""
        return min(self.columns, power_of_two_from(columns))


def power_of_two_from(count: int) -> int:
    """The smallest power of two that is no smaller, at least 16."""
    return max(16, 1 << (count - 1).bit_length())


def programs(count: int, at_once: int) -> int:
    """How many programs go through `count` things."""
    return -(-count // at_once)
