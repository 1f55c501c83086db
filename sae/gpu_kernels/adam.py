"""Adam over the rows of a matrix, in one pass over its memory.

The gradient is read, or is a product that is never written anywhere. What the
next step needs of the new weights, their rounded copy and their rows' norms, is left by the way.

Shape letters: F rows, D columns, B tokens.
"""
# pyright: basic
# Triton has no types: what a kernel's arguments and values are, its docstring says.

from dataclasses import dataclass

import torch
import triton.language as tl
from torch import Tensor

from sae.deferred_gradient import DeferredGradient
from sae.gpu_kernels.blocks import Blocks, programs
from sae.gpu_kernels.compiling import kernel

WHOLE_ROWS = Blocks(rows=1, columns=2048, warps=8)
PRODUCT = Blocks(rows=32, columns=64, tokens=64, warps=4, stages=3)
PRODUCT_OF_FEW = Blocks(rows=16, columns=128, tokens=64, warps=4, stages=2)
"""For at most its number of tokens. The fastest of those tried (measured on an H100: python -m
benchmarks.gpu_blocks)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Adam's constants."""

    betas: tuple[float, float]
    epsilon: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """A parameter as contiguous rows, with what moves it and what is kept of it."""

    weight: Tensor
    mean: Tensor
    square: Tensor
    step: Tensor
    """How many steps were taken, this one included; float32 scalar."""
    copy: Tensor | None
    """Where its rounded copy goes, if anywhere."""
    norms: Tensor
    """Where the rows' norms go, float32 [F]."""


def move(
    matrix: Matrix,
    gradient: Tensor | DeferredGradient,
    rate: Tensor,
    divisor: Tensor,
    rule: Rule,
    blocks: Blocks | None = None,
) -> None:
    """Moves a matrix against its gradient.

    Args:
        matrix: What moves.
        gradient: Float32 [F, D], or its parts.
        rate: The learning rate, a float32 scalar on the device.
        divisor: What the gradient is divided by first, likewise.
        rule: Adam's constants.
        blocks: What one program works on; None for what was measured to be fastest.
    """
    # Arguments that a variant does not use are given something of the right kind.
    left = right = written = matrix.weight
    row_weights, is_product = None, False
    if isinstance(gradient, Tensor):
        written = gradient
    else:
        left, right, row_weights = gradient.left, gradient.right, gradient.row_weights
        is_product = gradient.written is None
        written = left if gradient.written is None else gradient.written
    rows, columns = matrix.weight.shape
    blocks = blocks or _usual_blocks(is_product, left.shape[1])
    with torch.cuda.device_of(matrix.weight):
        _move_rows[(programs(rows, blocks.rows),)](
            matrix.weight,
            matrix.mean,
            matrix.square,
            written,
            left,
            right,
            matrix.norms if row_weights is None else row_weights,
            matrix.weight if matrix.copy is None else matrix.copy,
            matrix.norms,
            matrix.step,
            rate,
            divisor,
            rows,
            columns,
            left.shape[1],
            KEPT_OF_MEAN=rule.betas[0],
            KEPT_OF_SQUARE=rule.betas[1],
            EPSILON=rule.epsilon,
            IS_PRODUCT=is_product,
            HAS_ROW_WEIGHTS=row_weights is not None,
            HAS_COPY=matrix.copy is not None,
            ROWS=blocks.rows,
            COLUMNS=blocks.fitting_columns(columns),
            TOKENS=blocks.tokens,
            num_warps=blocks.warps,
            num_stages=blocks.stages,
        )


def _usual_blocks(is_product: bool, tokens: int) -> Blocks:
    if not is_product:
        return WHOLE_ROWS
    return PRODUCT_OF_FEW if tokens <= PRODUCT_OF_FEW.tokens else PRODUCT


@kernel
def _move_rows(
    weights,
    means,
    squares,
    gradients,
    left,
    right,
    row_weights,
    copies,
    norms,
    steps,
    rate,
    divisor,
    F,
    D,
    B,
    KEPT_OF_MEAN: tl.constexpr,
    KEPT_OF_SQUARE: tl.constexpr,
    EPSILON: tl.constexpr,
    IS_PRODUCT: tl.constexpr,
    HAS_ROW_WEIGHTS: tl.constexpr,
    HAS_COPY: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    TOKENS: tl.constexpr,
):
    """Moves ROWS rows; see `move`."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = rows < F
    # In float64, since 1 - 0.999^step loses digits while there were few steps.
    taken = tl.load(steps).to(tl.float64)
    mean_share = 1.0 - tl.exp(taken * tl.log(tl.full((), KEPT_OF_MEAN, tl.float64)))
    square_share = 1.0 - tl.exp(taken * tl.log(tl.full((), KEPT_OF_SQUARE, tl.float64)))
    pace = tl.load(rate) / mean_share.to(tl.float32)
    stretch = 1.0 / tl.sqrt(square_share.to(tl.float32))
    shrink = 1.0 / tl.load(divisor)
    sums = tl.zeros((ROWS,), tl.float32)
    if HAS_ROW_WEIGHTS:
        row_weight = tl.load(row_weights + rows, mask=is_row, other=0.0)
    for first in range(0, D, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        inside = is_row[:, None] & (columns < D)[None, :]
        places = rows[:, None].to(tl.int64) * D + columns[None, :]
        weight = tl.load(weights + places, mask=inside, other=0.0)
        mean = tl.load(means + places, mask=inside, other=0.0)
        square = tl.load(squares + places, mask=inside, other=0.0)
        if IS_PRODUCT:
            gradient = tl.zeros((ROWS, COLUMNS), tl.float32)
            for start in range(0, B, TOKENS):
                tokens = start + tl.arange(0, TOKENS)
                is_token = tokens < B
                ones = tl.load(
                    left + rows[:, None].to(tl.int64) * B + tokens[None, :],
                    mask=is_row[:, None] & is_token[None, :],
                    other=0.0,
                )
                others = tl.load(
                    right + tokens[:, None] * D + columns[None, :],
                    mask=is_token[:, None] & (columns < D)[None, :],
                    other=0.0,
                )
                gradient = tl.dot(ones, others, gradient, input_precision="ieee")
        else:
            gradient = tl.load(gradients + places, mask=inside, other=0.0)
        if HAS_ROW_WEIGHTS:
            gradient += row_weight[:, None] * weight
        gradient *= shrink
        mean += (1.0 - KEPT_OF_MEAN) * (gradient - mean)
        square = KEPT_OF_SQUARE * square + (1.0 - KEPT_OF_SQUARE) * gradient * gradient
        weight -= pace * mean / (tl.sqrt(square) * stretch + EPSILON)
        tl.store(weights + places, weight, mask=inside)
        tl.store(means + places, mean, mask=inside)
        tl.store(squares + places, square, mask=inside)
        if HAS_COPY:
            tl.store(copies + places, weight.to(copies.dtype.element_ty), mask=inside)
        sums += tl.sum(tl.where(inside, weight * weight, 0.0), 1)
    tl.store(norms + rows, tl.sqrt(sums), mask=is_row)
