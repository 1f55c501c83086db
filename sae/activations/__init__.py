"""Activations on disk and in memory: extraction, shards, shuffling."""
