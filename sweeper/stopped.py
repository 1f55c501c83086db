"""What is said of trials that a sweep leaves unfinished."""

from collections.abc import Sequence
from pathlib import Path

from sae.checkpoint import Checkpoints

CHECKPOINTS = "checkpoint"


def has_checkpoint(directory: Path) -> bool:
    """Whether a trial goes on from where it was; a trainer of one's own may, by itself."""
    return Checkpoints(directory / CHECKPOINTS, "").exist


def stopped_words(directories: Sequence[Path]) -> str:
    """What the same command will do with trials that were stopped; empty for none.

    Args:
        directories: The trials'.
    """
    saved = sorted(directory.name for directory in directories if has_checkpoint(directory))
    others = sorted({directory.name for directory in directories}.difference(saved))
    parts: list[str] = []
    if saved:
        parts.append(
            f"{', '.join(saved)} stopped with a checkpoint, from which the same command goes on."
        )
    if others:
        parts.append(f"{', '.join(others)} stopped; the same command starts again there.")
    return " ".join(parts)
