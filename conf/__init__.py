"""Hydra's config groups, shipped as a package and found by its installed path."""
