"""Columns that a user names, of a table that may not have them."""

import difflib
from collections.abc import Sequence

from analysis.errors import AnalysisError


def require_list(option: str, names: Sequence[str]) -> None:
    """Refuses one text where several are taken, since its letters would be taken for them.

    Raises:
        AnalysisError: It is a text.
    """
    if isinstance(names, str):
        raise AnalysisError(f"{option} must be a list of texts, but got {names!r}.")


def column_named(option: str, name: str, names: Sequence[str]) -> str:
    """The column that a name stands for: its own, or the only one whose last dotted part it is.

    A sweep's columns are named after keys: `layer` is its `activations.layer`.

    Args:
        option: What asks for it, such as "by".
        name: What was typed.
        names: The table's columns.

    Raises:
        AnalysisError: The name stands for no column, or for several.
    """
    if name in names:
        return name
    ending = [each for each in names if each.rpartition(".")[2] == name]
    if len(ending) == 1:
        return ending[0]
    hint = f"; {_listed(ending)} end so" if ending else _nearest(name, names)
    raise AnalysisError(f"{option} must name columns of the trials, but got {name!r}{hint}.")


def _nearest(name: str, names: Sequence[str]) -> str:
    """The column that a misspelt name is nearest to, whole or by its last dotted part."""
    by_ending = {each.rpartition(".")[2]: each for each in names if "." in each}
    known = {**by_ending, **{each: each for each in names}}
    near = difflib.get_close_matches(name, known, n=1)
    return f"; the nearest is {known[near[0]]!r}" if near else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(repr(each) for each in names)
