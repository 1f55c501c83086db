"""The sweep: Hydra composes, Optuna records, and a root finder searches alpha."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeper.notebook import FoundAlpha, find_alpha

__all__ = ["FoundAlpha", "find_alpha"]


def __getattr__(name: str) -> object:
    """Loads the function when it is first used: it needs torch, `sae-sweep --help` does not."""
    if name not in __all__:
        raise AttributeError(f"module 'sweeper' has no attribute {name!r}")
    from sweeper import notebook

    return getattr(notebook, name)
