"""The strongest dead latents of every token, by a search among the bits of floats.

Latents lie in memory as [N, B]: those of all tokens side by side. Shape letters: N latents,
B tokens.
"""
# pyright: basic
# Triton has no types: what a kernel's arguments and values are, its docstring says.

import torch
import triton.language as tl
from torch import Tensor

from sae.gpu_kernels.blocks import power_of_two_from, programs
from sae.gpu_kernels.compiling import kernel

MOST_LATENTS = 8192
"""From more on, torch's own search is left to do it: a program holds all latents of its tokens."""
TILE = 32768
"""Latents times tokens that a program holds; assumption: 64 in each of 512 threads."""
TILE_OF_A_WARP = 2048
DIGITS = {torch.bfloat16: 15, torch.float32: 31}
"""Bits of a number without its sign, which rise as positive numbers do."""


def keep_strongest(z_NB: Tensor, count: int, out_NB: Tensor) -> None:
    """Keeps what is above zero and among the `count` largest of its token, equals included.

    Args:
        z_NB: Contiguous, float32 or bfloat16; at most `MOST_LATENTS` rows.
        count: At least one.
        out_NB: Written: z where it is kept, else zero; NaN stays.
    """
    latents, tokens = z_NB.shape
    rows = power_of_two_from(latents)
    at_once = min(16, max(4, TILE // rows))
    with torch.cuda.device_of(z_NB):
        _keep_strongest[(programs(tokens, at_once),)](
            z_NB,
            out_NB,
            latents,
            tokens,
            count,
            1 << (DIGITS[z_NB.dtype] - 1),
            DIGITS=DIGITS[z_NB.dtype],
            IS_HALF=z_NB.dtype is torch.bfloat16,
            ROWS=rows,
            TOKENS=at_once,
            num_warps=min(16, max(4, rows * at_once // TILE_OF_A_WARP)),
        )


@kernel
def _keep_strongest(
    latents,
    kept,
    N,
    B,
    wanted,
    highest_bit,
    DIGITS: tl.constexpr,
    IS_HALF: tl.constexpr,
    ROWS: tl.constexpr,
    TOKENS: tl.constexpr,
):
    """See `keep_strongest`."""
    rows = tl.arange(0, ROWS)
    tokens = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    inside = (rows < N)[:, None] & (tokens < B)[None, :]
    places = rows[:, None].to(tl.int64) * B + tokens[None, :]
    z = tl.load(latents + places, mask=inside, other=0.0)
    is_on = ~(z <= 0)
    bits = z.to(tl.int16, bitcast=True) if IS_HALF else z.to(tl.int32, bitcast=True)
    strengths = tl.where(is_on, bits.to(tl.int32) & (highest_bit | (highest_bit - 1)), 0)
    # The largest threshold that as many as are wanted reach, from its highest bit down.
    threshold = tl.zeros((TOKENS,), tl.int32)
    for digit in range(DIGITS):
        higher = threshold | (highest_bit >> digit)
        reached = tl.sum((strengths >= higher[None, :]).to(tl.int32), 0)
        threshold = tl.where(reached >= wanted, higher, threshold)
    z = tl.where(is_on & (strengths >= threshold[None, :]), z, 0.0)
    tl.store(kept + places, z, mask=inside)
