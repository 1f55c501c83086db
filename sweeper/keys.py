"""Dotted configuration keys, and the line for one that does not exist."""

from collections.abc import Iterable, Iterator

from omegaconf import DictConfig

from sae.nearest import did_you_mean


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
    return f"{bare} must be a known key, but got {key!r}{did_you_mean(bare, known)}"
