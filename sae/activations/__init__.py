"""Activations on disk and in memory: extraction, shards, shuffling."""

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
