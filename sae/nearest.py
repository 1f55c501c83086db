"""The known name that is nearest to one that is not known."""

import difflib
from collections.abc import Iterable

LEAST_LIKENESS = 0.5
"""Part of two names that is the same, as difflib measures it; assumption."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error line: a question where some known name is near, else a full stop."""
    near = difflib.get_close_matches(name, list(known), cutoff=LEAST_LIKENESS)
    nearest = next((each for each in near if _ends_alike(name, each)), None)
    return "." if nearest is None else f", did you mean {nearest!r}?"


def _ends_alike(name: str, other: str) -> bool:
    """Whether the last dotted parts are near too: a table in common makes no two keys alike."""
    own_end, other_end = name.rpartition(".")[2], other.rpartition(".")[2]
    return difflib.SequenceMatcher(None, own_end, other_end).ratio() >= LEAST_LIKENESS
