"""A step with compiled loops: one pass for each row of latents, no more.

What the architectures share, whose plain steps the tests hold these to. Where few latents are on,
the four products after the encoder's use only those. Shape letters: B batch, D d_in, F latent_dim.
"""

from collections.abc import Callable
from dataclasses import dataclass

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

SPARSE_BELOW = {
    torch.bfloat16: 0.02 if has_bfloat16_tiles() else 0.12,
    torch.float32: 0.2,
}
"""Density of the latents, by working precision, below which the sparse products are faster.

Measured (python -m benchmarks.density) on two processors, one with matrix units for bfloat16 and
one with vector instructions for it; which one it is decides, never a clock."""


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
        # From this very batch, so that the same command gives the same bytes, interrupted or not.
        density = float(firings_F.sum()) / self.latents.numel()
        is_sparse = density < SPARSE_BELOW[self.model.workspace.dtype]
        is_sparse = is_sparse and self.tokens.shape[1] % 2 == 0
        products = self._sparse_products if is_sparse else self._dense_products
        mse, output_BD, sums_F = products(added_F, row_weights_F, look)
        self.model.backward_biases(sums_F)
        self.auxk.backward(self.model, self.inputs, output_BD)
        return mse

    def _dense_products(
        self, added_F: Tensor, row_weights_F: Tensor, look: Look | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sets the weights' gradients.

        Returns:
            The error, the gradient of x_hat, and that of z summed over tokens.
        """
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
        return mse, output_BD, sums_F

    def _sparse_products(
        self, added_F: Tensor, row_weights_F: Tensor, look: Look | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `_dense_products`, from the latents that are on."""
        model, shape, f_FB = self.model, self.tokens.shape, self.latents.t()
        space, W_dec = model.workspace, model.parameters["W_dec"]
        output_BD = space.buffer("sparse_output", *shape, dtype=torch.float32)
        squares_B = space.buffer("squares", len(output_BD), dtype=torch.float32)
        output_rows = space.rows_buffer("output", output_BD)
        self.table.run(
            sparse.reconstruct,
            latents=f_FB,
            decoder_rows=space.weight_rows("W_dec", W_dec),
            tokens=self.tokens,
            b_dec=model.parameters["b_dec"],
            output_gradient=output_BD,
            output_rows=output_rows,
            squares=squares_B,
        )
        mse = squares_B.sum() / len(output_BD)
        torch.sum(output_BD, 0, out=model.gradients["b_dec"])
        if look is not None:
            look.at_rows(output_rows)
        sums_F, squares_F = torch.empty_like(added_F), torch.empty_like(added_F)
        matrices = model.gradients["W_dec"], model.gradients["W_enc"]
        self.table.run(
            sparse.backward,
            latents=f_FB,
            W_dec=W_dec,
            output_rows=output_rows,
            input_rows=space.rows("inputs", model.centred_buffer(self.tokens)),
            added=added_F,
            row_weights=row_weights_F,
            gradient_sums=sums_F,
            gradient_squares=squares_F,
            W_dec_gradient=matrices[0],
            W_enc_gradient=matrices[1].t(),
        )
        increment_version(matrices)
        space.derived.keep(SQUARES, squares_F, *matrices)
        return mse, output_BD, sums_F
