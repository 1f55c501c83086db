"""Dotted configuration keys, and the line for one that does not exist."""

import difflib
from collections.abc import Iterable, Iterator

from omegaconf import DictConfig


def dotted_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every key of a configuration, such as `trainer` and `trainer.batch_size`."""
    for key in node:
        yield f"{prefix}{key}"
        child = node[key]
        if isinstance(child, DictConfig):
            yield from dotted_keys(child, f"{prefix}{key}.")


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The line for a key that is not known; it names the nearest one that is.

    Args:
        key: As the user wrote it, with `+` or `~` where they did.
        known: All keys there are.
    """
    bare = key.lstrip("+~").split("@")[0]
    nearest = difflib.get_close_matches(bare, list(known), n=1, cutoff=0.5)
    advice = f", did you mean {nearest[0]!r}?" if nearest else "."
    return f"{bare} must be a known key, but got {key!r}{advice}"
