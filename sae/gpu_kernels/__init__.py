"""Triton kernels for CUDA: what torch has no single pass for.

Each module loads Triton, so that it is imported where it is used. Every kernel has a plain
reference in torch beside it, which the tests hold it to.
"""
