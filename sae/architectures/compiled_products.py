"""A step's products after the encoder's with compiled loops, and the gradients they give.

Shape letters: B batch, D d_in, F latent_dim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from sae.architectures.linear import LinearEncoderSae
from sae.gradient_clip import SQUARES
from sae.kernels import dense, sparse
from sae.kernels.launching import Table
from sae.kernels.marks import BLOCK
from sae.kernels.token_lists import ROUND

if TYPE_CHECKING:
    from sae.kernels.compiling import Kernel


@dataclass(frozen=True, slots=True)
class Look:
    """Who needs more of the gradient with respect to f than that of the latents that are on."""

    at_gradient: Callable[[Tensor], None]
    """Called with all of it [B, F], in the working precision; or else:"""
    at_rows: Callable[[Tensor], None]
    """Called with the gradient of x_hat, as rows (see `sae.kernels.row_sums`)."""


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """A batch's error, and its gradient with respect to x_hat."""

    mse: Tensor
    """Summed over d_in; a scalar."""
    output: Tensor
    """2 (x_hat - x) / batch, float32 [B, D]."""
    sums: Tensor
    """The same, summed over blocks of tokens [ceil(B / 64), D]."""
    rows: Tensor
    """The same as rows; see `sae.kernels.row_sums`."""


def reconstruct_sparse(
    model: LinearEncoderSae, table: Table, x_BD: Tensor, name: str = "output"
) -> Reconstruction:
    """Reconstructs tokens from the latents that are marked or listed.

    Args:
        model: Whose decoder is used.
        table: With the latents and their marks, or the lists.
        x_BD: The tokens.
        name: Of the buffers.
    """
    space = model.workspace
    output_BD = space.buffer(f"sparse {name}", *x_BD.shape, dtype=torch.float32)
    squares_B = space.buffer("squares", len(x_BD), dtype=torch.float32)
    rows_BD = space.rows_buffer(name, output_BD)
    blocks = -(-len(x_BD) // BLOCK)
    sums = space.buffer(f"sums of {name}", blocks, x_BD.shape[1], dtype=torch.float32)
    table.run(
        sparse.reconstruct,
        decoder_rows=space.weight_rows("W_dec", model.parameters["W_dec"]),
        tokens=x_BD,
        b_dec=model.parameters["b_dec"],
        output_gradient=output_BD,
        output_rows=rows_BD,
        output_sums=sums,
        squares=squares_B,
    )
    return Reconstruction(squares_B.sum() / len(x_BD), output_BD, sums, rows_BD)


def weight_gradients_sparse(
    model: LinearEncoderSae, table: Table, kernel: "Kernel", **values: Tensor
) -> None:
    """Sets both weights' gradients by a kernel that goes through the latents that are on.

    Args:
        model: Whose gradients are set.
        table: With the marks, or the lists.
        kernel: `sae.kernels.sparse.backward`, or one like it.
        values: What else the kernel reads and writes.
    """
    squares_F = torch.empty(model.config.latent_dim)
    table.run(
        kernel,
        W_dec=model.parameters["W_dec"],
        gradient_squares=squares_F,
        W_dec_gradient=model.gradients["W_dec"],
        W_enc_gradient=model.gradients["W_enc"].t(),
        **values,
    )
    keep_squares(model, squares_F)


def keep_squares(model: LinearEncoderSae, squares_F: Tensor) -> None:
    """Keeps the squares of both weights' gradients, which a kernel has just written."""
    matrices = (model.gradients["W_dec"], model.gradients["W_enc"])
    increment_version(matrices)
    model.workspace.derived.keep(SQUARES, squares_F, *matrices)


def round_parts(model: LinearEncoderSae, x_BD: Tensor) -> Tensor:
    """Where kernels leave what each round of latents adds to W_enc @ the sums of z's gradient."""
    rounds = -(-model.config.latent_dim // ROUND)
    return model.workspace.buffer("parts", rounds, x_BD.shape[1], dtype=torch.float32)


def output_gradient(
    model: LinearEncoderSae, table: Table, x_BD: Tensor, f_BF: Tensor
) -> tuple[Tensor, Tensor]:
    """From all latents the mean squared error, and its gradient with respect to x_hat.

    Sets b_dec's gradient as a decoder bias.

    Args:
        model: Whose decoder is used.
        table: Of the batch.
        x_BD: The tokens.
        f_BF: The latents.

    Returns:
        The error, summed over d_in; its gradient [B, D], working precision.
    """
    space, blocks = model.workspace, -(-len(x_BD) // BLOCK)
    x_hat_BD = model.decode_linear(f_BF)
    squares_B = space.buffer("squares", len(x_BD), dtype=torch.float32)
    sums = space.buffer("sums of output", blocks, x_BD.shape[1], dtype=torch.float32)
    table.run(
        dense.output_gradient,
        reconstruction=x_hat_BD,
        tokens=x_BD,
        b_dec=model.parameters["b_dec"],
        output_sums=sums,
        squares=squares_B,
    )
    torch.sum(sums, 0, out=model.gradients["b_dec"])
    return squares_B.sum() / len(x_BD), x_hat_BD


@dataclass(frozen=True, slots=True)
class Backward:
    """What a step's products give beside the weights' gradients."""

    mse: Tensor
    """Summed over d_in; a scalar."""
    output: Tensor
    """The gradient of x_hat [B, D]."""
    sums: Tensor
    """That of z summed over tokens [F]."""
    encoded_back: Tensor | None = None
    """W_enc @ sums [D], where a kernel had both at hand."""


def input_rows(model: LinearEncoderSae, x_BD: Tensor) -> Tensor:
    """The input of tokens encoded just before, x - b_dec, as rows (see `sae.kernels.row_sums`)."""
    return model.workspace.rows("inputs", model.centred_buffer(x_BD))


def sparse_products(
    model: LinearEncoderSae, table: Table, x_BD: Tensor, look: Look | None, **values: Tensor
) -> Backward:
    """Sets the weights' gradients, and b_dec's from x_hat's, from the latents that are on.

    Args:
        model: Whose gradients are set.
        table: With marks or lists of these latents.
        x_BD: The tokens.
        look: Who is shown the gradient with respect to f of latents that are off.
        values: Where there are marks, `latents`; unless the table has them, `input_rows`; `added`
            and `row_weights` for `sae.kernels.sparse.backward`.
    """
    space, parts = model.workspace, round_parts(model, x_BD)
    sums_F = torch.empty(model.config.latent_dim)
    table.fill(**values)
    found = reconstruct_sparse(model, table, x_BD)
    torch.sum(found.sums, 0, out=model.gradients["b_dec"])
    if look is not None:
        look.at_rows(found.rows)
    weight_gradients_sparse(
        model,
        table,
        sparse.backward,
        output_rows=found.rows,
        gradient_sums=sums_F,
        encoder=space.cast_weight("W_enc", model.parameters["W_enc"]).t(),
        parts=parts,
    )
    return Backward(found.mse, found.output, sums_F, parts.sum(0))
