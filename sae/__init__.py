"""Sparse autoencoders: activations, architectures, trainer and files."""
