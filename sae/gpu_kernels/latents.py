"""One pass over a batch's latents, forwards and back.

Latents lie in memory as [F, B]: those of all tokens side by side. Shape letters: F latents,
B tokens, D columns.
"""
# pyright: basic
# Triton has no types: what a kernel's arguments and values are, its docstring says.

import torch
import triton.language as tl
from torch import Tensor

from sae.gpu_kernels.blocks import power_of_two_from, programs
from sae.gpu_kernels.compiling import kernel

ROWS_OF_FEW = 16
"""Latents of a program where tokens are few (measured on an H100: python -m
benchmarks.gpu_blocks)."""
MOST_TOKENS = 2048
"""Of a turn of a program's loop, likewise."""
SUMMED_ROWS = 128
"""Rows whose weighted sum is one program's, likewise."""


def rectify(z_FB: Tensor, bias_F: Tensor) -> tuple[Tensor, Tensor]:
    """Turns z into f = relu(z + bias).

    Args:
        z_FB: Contiguous, any float type; overwritten.
        bias_F: Float32.

    Returns:
        On how many tokens each latent is above zero, and its sum over them, float32 [F].
    """
    latents, tokens = z_FB.shape
    firings_F, sums_F = torch.empty_like(bias_F), torch.empty_like(bias_F)
    rows, at_once = _latents_of_a_program(tokens)
    with torch.cuda.device_of(z_FB):
        _rectify_rows[(programs(latents, rows),)](
            z_FB, bias_F, firings_F, sums_F, latents, tokens, ROWS=rows, TOKENS=at_once
        )
    return firings_F, sums_F


def mask(df_FB: Tensor, f_FB: Tensor, added_F: Tensor) -> tuple[Tensor, Tensor]:
    """Turns the gradient of f into that of z, for f = relu(z) or a selection of it.

    Args:
        df_FB: Contiguous, any float type; overwritten.
        f_FB: Likewise.
        added_F: What the gradient of every latent that is on has besides, float32.

    Returns:
        The gradient of z summed over tokens, and f times the gradient of f, before anything is
        added to that, summed over tokens; float32 [F].
    """
    latents, tokens = df_FB.shape
    sums_F, products_F = torch.empty_like(added_F), torch.empty_like(added_F)
    rows, at_once = _latents_of_a_program(tokens)
    with torch.cuda.device_of(df_FB):
        _mask_rows[(programs(latents, rows),)](
            df_FB, f_FB, added_F, sums_F, products_F, latents, tokens, ROWS=rows, TOKENS=at_once
        )
    return sums_F, products_F


def weighted_row_sum(matrix_FD: Tensor, weights_F: Tensor) -> Tensor:
    """The product weights @ matrix, float32 [D], of a contiguous matrix of any float type."""
    rows, columns = matrix_FD.shape
    parts = programs(rows, SUMMED_ROWS)
    parts_PD = torch.empty(parts, columns, device=matrix_FD.device)
    at_once = min(512, power_of_two_from(columns))
    programs_asked = parts, programs(columns, at_once)
    sizes = {"SPAN": SUMMED_ROWS, "ROWS": 8, "COLUMNS": at_once}
    with torch.cuda.device_of(matrix_FD):
        _sum_rows[programs_asked](matrix_FD, weights_F, parts_PD, rows, columns, **sizes)
    return parts_PD.sum(0)


def _latents_of_a_program(tokens: int) -> tuple[int, int]:
    """How many latents, and how many tokens of each at once."""
    at_once = min(MOST_TOKENS, power_of_two_from(tokens))
    return max(1, min(ROWS_OF_FEW, MOST_TOKENS // 2 // at_once)), at_once


@kernel
def _rectify_rows(
    latents,
    biases,
    firings,
    sums,
    F,
    B,
    ROWS: tl.constexpr,
    TOKENS: tl.constexpr,
):
    """See `rectify`."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = rows < F
    bias = tl.load(biases + rows, mask=is_row, other=0.0)
    count = tl.zeros((ROWS,), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, B, TOKENS):
        tokens = start + tl.arange(0, TOKENS)
        inside = is_row[:, None] & (tokens < B)[None, :]
        places = rows[:, None].to(tl.int64) * B + tokens[None, :]
        z = tl.load(latents + places, mask=inside, other=0.0).to(tl.float32) + bias[:, None]
        # Rounded first, so that what is counted is what the products see.
        f = tl.where(inside & ~(z <= 0), z, 0.0).to(latents.dtype.element_ty)  # NaN stays
        tl.store(latents + places, f, mask=inside)
        f = f.to(tl.float32)
        count += tl.sum((f > 0).to(tl.float32), 1)
        total += tl.sum(f, 1)
    tl.store(firings + rows, count, mask=is_row)
    tl.store(sums + rows, total, mask=is_row)


@kernel
def _mask_rows(
    gradients,
    latents,
    added,
    sums,
    products,
    F,
    B,
    ROWS: tl.constexpr,
    TOKENS: tl.constexpr,
):
    """See `mask`."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = rows < F
    addition = tl.load(added + rows, mask=is_row, other=0.0)
    total = tl.zeros((ROWS,), tl.float32)
    product = tl.zeros((ROWS,), tl.float32)
    for start in range(0, B, TOKENS):
        tokens = start + tl.arange(0, TOKENS)
        inside = is_row[:, None] & (tokens < B)[None, :]
        places = rows[:, None].to(tl.int64) * B + tokens[None, :]
        f = tl.load(latents + places, mask=inside, other=0.0).to(tl.float32)
        df = tl.load(gradients + places, mask=inside, other=0.0).to(tl.float32)
        product += tl.sum(f * df, 1)
        dz = tl.where(f <= 0, 0.0, df + addition[:, None]).to(gradients.dtype.element_ty)
        tl.store(gradients + places, dz, mask=inside)
        total += tl.sum(dz.to(tl.float32), 1)
    tl.store(sums + rows, total, mask=is_row)
    tl.store(products + rows, product, mask=is_row)


@kernel
def _sum_rows(
    matrix,
    weights,
    parts,
    F,
    D,
    SPAN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """What SPAN of the rows add to weights @ matrix; parts [programs over F, D]."""
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = columns < D
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, SPAN, ROWS):
        rows = tl.program_id(0) * SPAN + start + tl.arange(0, ROWS)
        is_row = rows < F
        weight = tl.load(weights + rows, mask=is_row, other=0.0)
        values = tl.load(
            matrix + rows[:, None].to(tl.int64) * D + columns[None, :],
            mask=is_row[:, None] & is_column[None, :],
            other=0.0,
        )
        total += weight[:, None] * values.to(tl.float32)
    tl.store(parts + tl.program_id(0) * D + columns, tl.sum(total, 0), mask=is_column)
