"""Sparse autoencoder architectures, one file each."""
