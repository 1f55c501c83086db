"""A step with compiled loops: one pass for each row of latents, no more.

What the architectures share, whose plain steps the tests hold these to. Where few latents are on,
the four products after the encoder's use only those. Shape letters: B batch, D d_in, F latent_dim.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings
from sae.architectures.linear import LinearEncoderSae
from sae.kernels import rows
from sae.kernels.launching import Table

SPARSE_BELOW = {torch.bfloat16: 0.02, torch.float32: 0.2}
"""Density of the latents, by working precision, below which the sparse products are faster.
bfloat16 on a processor with matrix units for it (measured: python -m benchmarks.density); float32
is an assumption, from products that take twenty times as long there."""
WORD = 4
"""The sparse kernels read this many tokens at a time."""
LookAt = Callable[[Tensor], None]


def table_of(model: LinearEncoderSae, x_BD: Tensor) -> Table:
    """A table for kernels over all latents of a batch."""
    return Table(
        half=model.workspace.dtype is torch.bfloat16,
        batch=len(x_BD),
        d_in=x_BD.shape[1],
        latent_dim=model.config.latent_dim,
    )


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
        look_at: LookAt | None = None,
    ) -> Tensor:
        """Sets all gradients, from latents that are ReLU's or a selection's.

        Args:
            firings_F: On how many tokens each latent is on.
            added_F: What the penalty adds to the gradient of every latent that is on.
            row_weights_F: What of W_dec's rows their gradients hold for their norms' sake.
            look_at: Called with the gradient with respect to f, whether on or not.

        Returns:
            The mean squared error, summed over d_in.
        """
        # From this very batch, so that the same command gives the same bytes, interrupted or not.
        density = float(firings_F.sum()) / self.latents.numel()
        is_sparse = density < SPARSE_BELOW[self.model.workspace.dtype]
        is_sparse = is_sparse and len(self.tokens) % WORD == 0
        products = self._sparse_products if is_sparse else self._dense_products
        mse, output_BD, sums_F = products(added_F, row_weights_F, look_at)
        self.model.backward_biases(sums_F)
        self.auxk.backward(self.model, self.inputs, output_BD)
        return mse

    def _dense_products(
        self, added_F: Tensor, row_weights_F: Tensor, look_at: LookAt | None
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
        if look_at is not None:
            look_at(dz_BF)
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
        self, added_F: Tensor, row_weights_F: Tensor, look_at: LookAt | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `_dense_products`, from the latents that are on."""
        model, f_FB = self.model, self.latents.t()
        W_dec = model.parameters["W_dec"]
        x_hat_BD = model.workspace.buffer("sparse_x_hat", *self.tokens.shape, dtype=torch.float32)
        self.table.run(rows.decode, latents=f_FB, W_dec=W_dec, reconstruction=x_hat_BD)
        error_BD = model.error_of(x_hat_BD, self.tokens)
        mse = error_BD.square().sum() / len(error_BD)
        output_BD = model.backward_reconstruction(error_BD)
        if look_at is not None:
            look_at(model.latent_gradient(output_BD))
        sums_F = torch.empty_like(added_F)
        self.table.run(
            rows.backward,
            latents=f_FB,
            W_dec=W_dec,
            output_gradient=output_BD,
            inputs=self.inputs,
            added=added_F,
            row_weights=row_weights_F,
            gradient_sums=sums_F,
            W_dec_gradient=model.gradients["W_dec"],
            W_enc_gradient=model.gradients["W_enc"].t(),
        )
        return mse, output_BD, sums_F
