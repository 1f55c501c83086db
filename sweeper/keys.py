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


def bare_key(key: str) -> str:
    """A key without the `+`, `++` or `~` of Hydra's grammar, and without a package."""
    return key.strip().lstrip("+~").split("@")[0]


def may_hold_a_password(key: str) -> bool:
    """Whether the key's value is a storage's URL, which no message may show."""
    return bare_key(key).endswith("storage")


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The line for a key that is not known; it names the nearest one that is.

    Args:
        key: As the user wrote it, with `+` or `~` where they did.
        known: All keys there are.
    """
    bare = bare_key(key)
    return f"{bare} must be a known key, but got {key!r}{did_you_mean(bare, known)}"
