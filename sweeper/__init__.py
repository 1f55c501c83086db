"""The sweep: Hydra composes, Optuna records, and a root finder searches alpha."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeper.notebook import FoundAlpha, find_alpha
    from sweeper.own_trainer import TrialConfig

__all__ = ["FoundAlpha", "TrialConfig", "find_alpha"]


def __getattr__(name: str) -> object:
    """Loads a name when it is first used: it needs torch, `sae-sweep --help` does not."""
    if name not in __all__:
        raise AttributeError(f"module 'sweeper' has no attribute {name!r}")
    from sweeper import notebook, own_trainer

    return getattr(own_trainer if name == "TrialConfig" else notebook, name)
