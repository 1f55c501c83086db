"""A step with compiled loops: one pass for each row of latents, no more.

What the architectures share, whose plain steps the tests hold these to. Where few latents are on,
the four products after the encoder's use only those. Shape letters: B batch, D d_in, F latent_dim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings
from sae.architectures.linear import LinearEncoderSae
from sae.device import has_bfloat16_tiles
from sae.gradient_clip import SQUARES
from sae.kernels import rows, sparse
from sae.kernels.launching import Table
from sae.kernels.marks import BLOCK
from sae.kernels.pairs import has_pairs
from sae.kernels.token_lists import ROUND

if TYPE_CHECKING:
    from sae.kernels.compiling import Kernel


def _bfloat16_is_sparse_below() -> float:
    if has_bfloat16_tiles():
        return 0.02
    return 0.2 if has_pairs() else 0.12


SPARSE_BELOW = {torch.bfloat16: _bfloat16_is_sparse_below(), torch.float32: 0.2}
"""Density of the latents, by working precision, below which the sparse products are faster.

Measured (python -m benchmarks.density) on a processor with vector instructions for bfloat16, by
them and without; with matrix units before the loops used those instructions. What the processor
has decides, never a clock."""


@dataclass(frozen=True, slots=True)
class Look:
    """Who needs more of the gradient with respect to f than that of the latents that are on."""

    at_gradient: Callable[[Tensor], None]
    """Called with all of it [B, F], in the working precision; or else:"""
    at_rows: Callable[[Tensor], None]
    """Called with the gradient of x_hat, as rows (see `sae.kernels.row_sums`)."""


def table_of(model: LinearEncoderSae, x_BD: Tensor) -> Table:
    """A table for kernels over all latents of a batch, with room for their marks."""
    batch, latent_dim = len(x_BD), model.config.latent_dim
    half = model.workspace.dtype is torch.bfloat16
    table = Table(half=half, batch=batch, d_in=x_BD.shape[1], latent_dim=latent_dim)
    blocks = -(-batch // BLOCK)
    table.fill(marks=model.workspace.buffer("marks", blocks, latent_dim, dtype=torch.int64))
    return table


def is_faster_sparse(model: LinearEncoderSae, firings_F: Tensor, x_BD: Tensor) -> bool:
    """Whether a batch's latents are on rarely enough for the sparse products.

    From this very batch, so that the same command gives the same bytes, interrupted or not.
    """
    batch, d_in = x_BD.shape
    density = float(firings_F.sum()) / (len(firings_F) * batch)
    return density < SPARSE_BELOW[model.workspace.dtype] and d_in % 2 == 0


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
    model: LinearEncoderSae, table: Table, x_BD: Tensor, f_BF: Tensor, name: str = "output"
) -> Reconstruction:
    """Reconstructs tokens from the latents that are marked.

    Args:
        model: Whose decoder is used.
        table: With the marks.
        x_BD: The tokens.
        f_BF: The latents, zero where they are off.
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
        latents=f_BF.t(),
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
    model: LinearEncoderSae, table: Table, kernel: "Kernel", x_BD: Tensor, **values: Tensor
) -> None:
    """Sets both weights' gradients by a kernel that goes through the latents that are marked.

    Args:
        model: Whose gradients are set.
        table: With the marks.
        kernel: `sae.kernels.sparse.backward`, or one like it.
        x_BD: The tokens, encoded just before.
        values: What else the kernel reads and writes.
    """
    space, matrices = model.workspace, (model.gradients["W_dec"], model.gradients["W_enc"])
    squares_F = torch.empty(model.config.latent_dim)
    table.run(
        kernel,
        W_dec=model.parameters["W_dec"],
        input_rows=space.rows("inputs", model.centred_buffer(x_BD)),
        gradient_squares=squares_F,
        W_dec_gradient=matrices[0],
        W_enc_gradient=matrices[1].t(),
        **values,
    )
    increment_version(matrices)
    space.derived.keep(SQUARES, squares_F, *matrices)


@dataclass(frozen=True, slots=True)
class _Backward:
    """What a step's products give beside the weights' gradients."""

    mse: Tensor
    """Summed over d_in; a scalar."""
    output: Tensor
    """The gradient of x_hat [B, D]."""
    sums: Tensor
    """That of z summed over tokens [F]."""
    encoded_back: Tensor | None = None
    """W_enc @ sums [D], where a kernel had both at hand."""


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """One batch on its way through a model."""

    model: LinearEncoderSae
    table: Table
    tokens: Tensor
    """Canonical activations [B, D]."""
    inputs: Tensor
    """x - b_dec [B, D], working precision."""
    latents: Tensor
    """[B, F], working precision: z without its bias, then f."""
    auxk: AuxK
    """Has taken what it needs from z."""
    only_where_marked: bool = False
    """Whether the latents are anything at all where they are off."""

    @classmethod
    def encode(
        cls, model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
    ) -> "CompiledStep":
        """Computes z."""
        z_BF, inputs_BD = model.encode_linear(x_BD, bias=None)
        auxk = AuxK(model.workspace, z_BF, settings.revival, model.parameters["b_enc"])
        return cls(model, table_of(model, x_BD), x_BD, inputs_BD, z_BF, auxk)

    def activate(self, limits_F: Tensor) -> tuple[Tensor, Tensor]:
        """Turns z into z + b_enc where that is above a limit, else into zero.

        Args:
            limits_F: Not negative.

        Returns:
            On how many tokens each latent is on, and its sum over them, float32 [F].
        """
        firings_F, sums_F = torch.empty_like(limits_F), torch.empty_like(limits_F)
        self.table.run(
            rows.activate,
            latents=self.latents.t(),
            bias=self.model.parameters["b_enc"],
            limits=limits_F,
            firings=firings_F,
            sums=sums_F,
        )
        return firings_F, sums_F

    def backward(
        self,
        firings_F: Tensor,
        added_F: Tensor,
        row_weights_F: Tensor,
        look: Look | None = None,
    ) -> Tensor:
        """Sets all gradients, from latents that are ReLU's or a selection's.

        Args:
            firings_F: On how many tokens each latent is on.
            added_F: What the penalty adds to the gradient of every latent that is on.
            row_weights_F: What of W_dec's rows their gradients hold for their norms' sake.
            look: Who is shown the gradient with respect to f of latents that are off.

        Returns:
            The mean squared error, summed over d_in.
        """
        is_sparse = self.only_where_marked or is_faster_sparse(self.model, firings_F, self.tokens)
        products = self._sparse_products if is_sparse else self._dense_products
        found = products(added_F, row_weights_F, look)
        self.model.backward_biases(found.sums, back_D=found.encoded_back)
        self.auxk.backward(self.model, self.inputs, found.output)
        return found.mse

    def _dense_products(
        self, added_F: Tensor, row_weights_F: Tensor, look: Look | None
    ) -> _Backward:
        """Sets the weights' gradients, and b_dec's from x_hat's."""
        model, f_BF = self.model, self.latents
        error_BD = model.reconstruction_error(self.tokens, f_BF)
        mse = error_BD.square().sum() / len(error_BD)
        output_BD = model.backward_decoder(error_BD, f_BF)
        model.gradients["W_dec"].addcmul_(row_weights_F.unsqueeze(1), model.parameters["W_dec"])
        dz_BF = model.latent_gradient(output_BD)
        if look is not None:
            look.at_gradient(dz_BF)
        sums_F = torch.empty_like(added_F)
        self.table.run(
            rows.mask,
            latents=f_BF.t(),
            latent_gradient=dz_BF.t(),
            added=added_F,
            gradient_sums=sums_F,
        )
        model.workspace.product_into(model.gradients["W_enc"], self.inputs.t(), dz_BF)
        return _Backward(mse, output_BD, sums_F)

    def _sparse_products(
        self, added_F: Tensor, row_weights_F: Tensor, look: Look | None
    ) -> _Backward:
        """As `_dense_products`, from the latents that are on."""
        model, sums_F = self.model, torch.empty_like(added_F)
        space, rounds = model.workspace, -(-model.config.latent_dim // ROUND)
        parts = space.buffer("parts", rounds, self.tokens.shape[1], dtype=torch.float32)
        found = reconstruct_sparse(model, self.table, self.tokens, self.latents)
        torch.sum(found.sums, 0, out=model.gradients["b_dec"])
        if look is not None:
            look.at_rows(found.rows)
        weight_gradients_sparse(
            model,
            self.table,
            sparse.backward,
            self.tokens,
            latents=self.latents.t(),
            output_rows=found.rows,
            added=added_F,
            row_weights=row_weights_F,
            gradient_sums=sums_F,
            encoder=space.cast_weight("W_enc", model.parameters["W_enc"]).t(),
            parts=parts,
        )
        return _Backward(found.mse, found.output, sums_F, parts.sum(0))
