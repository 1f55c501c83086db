"""Sparse autoencoders: activations, architectures, trainer and files."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sae.sae_file import Sae, load

__all__ = ["Sae", "load"]


def __getattr__(name: str) -> object:
    """Loads a name when it is first used: it needs torch, and every command imports this first."""
    if name not in __all__:
        raise AttributeError(f"module 'sae' has no attribute {name!r}")
    from sae import sae_file

    return getattr(sae_file, name)
