"""Columns that a user names, of a table that may not have them."""

import difflib
from collections.abc import Sequence

from analysis.errors import AnalysisError


def require_column(option: str, name: str, names: Sequence[str]) -> None:
    """Refuses a name that no column has, with the nearest that one has.

    Args:
        option: What asks for it, such as "by".
        name: What was typed.
        names: The table's columns.

    Raises:
        AnalysisError: No column has that name.
    """
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise AnalysisError(f"{option} must name columns of the trials, but got {name!r}{hint}.")
