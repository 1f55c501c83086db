"""A step with compiled loops: one pass for each row of latents, no more.

What the architectures share, whose plain steps the tests hold these to. Where few latents are on,
the four products after the encoder's use only those. Shape letters: B batch, D d_in, F latent_dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings
from sae.architectures.compiled_products import (
    Backward,
    Look,
    input_rows,
    keep_squares,
    output_gradient,
    round_parts,
    sparse_products,
)
from sae.architectures.linear import LinearEncoderSae
from sae.device import has_bfloat16_tiles
from sae.kernels import dense, rows
from sae.kernels.launching import Table
from sae.kernels.marks import BLOCK
from sae.kernels.pairs import has_pairs


def _bfloat16_is_sparse_below() -> float:
    if has_bfloat16_tiles():
        return 0.04
    return 0.2 if has_pairs() else 0.12


SPARSE_BELOW = {torch.bfloat16: _bfloat16_is_sparse_below(), torch.float32: 0.2}
"""Density of the latents, by working precision, below which the sparse products are faster.

Measured (python -m benchmarks.density) on processors with matrix units for bfloat16, with vector
instructions alone, and without. What the processor has decides, never a clock."""


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
    ) -> Backward:
        """Sets the weights' gradients, and b_dec's from x_hat's."""
        model, table, space = self.model, self.table, self.model.workspace
        mse, output_BD = output_gradient(model, table, self.tokens, self.latents)
        W_dec, W_enc = model.gradients["W_dec"], model.gradients["W_enc"].t()
        squares_F, sums_F = torch.empty_like(added_F), torch.empty_like(added_F)
        table.run(
            dense.decoder_gradient,
            product=space.product_near(W_dec, self.latents.t(), output_BD),
            W_dec=model.parameters["W_dec"],
            row_weights=row_weights_F,
            W_dec_gradient=W_dec,
            gradient_squares=squares_F,
        )
        dz_BF = model.latent_gradient(output_BD)
        if look is not None:
            look.at_gradient(dz_BF)
        table.run(
            rows.mask,
            latents=self.latents.t(),
            latent_gradient=dz_BF.t(),
            added=added_F,
            gradient_sums=sums_F,
        )
        parts = round_parts(model, self.tokens)
        table.run(
            dense.encoder_gradient,
            product=space.product_near(W_enc, dz_BF.t(), self.inputs),
            W_enc_gradient=W_enc,
            encoder=space.cast_weight("W_enc", model.parameters["W_enc"]).t(),
            parts=parts,
        )
        keep_squares(model, squares_F)
        return Backward(mse, output_BD, sums_F, parts.sum(0))

    def _sparse_products(
        self, added_F: Tensor, row_weights_F: Tensor, look: Look | None
    ) -> Backward:
        """As `_dense_products`, from the latents that are on."""
        return sparse_products(
            self.model,
            self.table,
            self.tokens,
            look,
            latents=self.latents.t(),
            input_rows=input_rows(self.model, self.tokens),
            added=added_F,
            row_weights=row_weights_F,
        )
