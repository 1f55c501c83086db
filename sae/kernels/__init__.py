"""Compiled loops for the parts of a step where torch has none; optional, and for the CPU only."""
