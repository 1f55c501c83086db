"""Sparse autoencoders: activations, architectures, trainer and files."""

from sae.sae_file import Sae, load

__all__ = ["Sae", "load"]
