"""How large a setting may be that counts something."""

from sae.errors import SaeError

WHOLE_LIMIT = 2**63
"""Whole numbers are below it: those of torch, and of the columns of a table, have 64 bits."""


def refuse_too_large(key: str, value: int) -> None:
    """Raises a SaeError where a whole number does not fit into 64 bits.

    Args:
        key: The setting, such as `trainer.total_steps`.
        value: What it was given.
    """
    if value >= WHOLE_LIMIT:
        raise SaeError(f"{key} must be below 2^63, but got {value}.")
