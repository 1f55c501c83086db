"""Activations on disk and in memory: extraction, shards, shuffling.

Names are loaded when they are first used: they need torch, and the command imports this first.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sae.activations.config import ActivationsConfig, ActivationSource, SyntheticConfig
    from sae.activations.opening import open_activations
    from sae.activations.store import ActivationStore

__all__ = [
    "ActivationSource",
    "ActivationStore",
    "ActivationsConfig",
    "SyntheticConfig",
    "open_activations",
]

_MODULES = {"ActivationStore": "store", "open_activations": "opening"}
"""Where a name is; the others are in `config`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'sae.activations' has no attribute {name!r}")
    module = importlib.import_module(f"sae.activations.{_MODULES.get(name, 'config')}")
    return getattr(module, name)
