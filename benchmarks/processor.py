"""Which file of results this processor's times belong to."""

import torch

from sae.device import has_bfloat16_tiles, has_native_bfloat16


def results_of(name: str) -> str:
    """A file of results for processors with matrix units, one for those without bfloat16."""
    if has_bfloat16_tiles():
        return f"{name}_matrix_units"
    return name if has_native_bfloat16(torch.device("cpu")) else f"{name}_float32"
