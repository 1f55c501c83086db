"""The standard SAE's step with compiled loops: one pass for each row of latents, no more.

The same equations as `sae.architectures.standard`, whose plain step the tests hold this one to.
Where few latents are on, the four products after the encoder's use only those. Shape letters:
B batch, D d_in, F latent_dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.linear import LinearEncoderSae
from sae.kernels import rows
from sae.kernels.launching import Table

SPARSE_BELOW = {torch.bfloat16: 0.02, torch.float32: 0.2}
"""Density of the latents, by working precision, below which the sparse products are faster.
bfloat16 on a processor with matrix units for it (measured: python -m benchmarks.density); float32
is an assumption, from products that take twenty times as long there."""
WORD = 4
"""The sparse kernels read this many tokens at a time."""


def compiled_gradients(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
) -> StepStatistics:
    """Sets the gradients; see `TrainableSae.compute_gradients`."""
    batch, alpha, space = len(x_BD), settings.alpha, model.workspace
    latent_dim, d_in = model.config.latent_dim, x_BD.shape[1]
    table = Table(
        half=space.dtype is torch.bfloat16, batch=batch, d_in=d_in, latent_dim=latent_dim
    )
    z_BF, inputs_BD = model.encode_linear(x_BD, bias=None)
    auxk = AuxK(z_BF, settings.revival, model.parameters["b_enc"])
    firings_F, sums_F = torch.empty(latent_dim), torch.empty(latent_dim)
    table.run(
        rows.activate,
        latents=z_BF.t(),
        bias=model.parameters["b_enc"],
        firings=firings_F,
        sums=sums_F,
    )
    norms_F = model.decoder_norms()
    mean_f_F = sums_F.div_(batch)
    l1 = mean_f_F @ norms_F
    # From this very batch, so that the same command gives the same bytes, interrupted or not.
    density = float(firings_F.sum()) / (batch * latent_dim)
    is_sparse = batch % WORD == 0 and density < SPARSE_BELOW[space.dtype]
    step = _Step(
        model=model,
        table=table,
        tokens=x_BD,
        inputs=inputs_BD,
        latents=z_BF,
        row_weights=alpha * mean_f_F / norms_F,
        added=alpha / batch * norms_F,
    )
    mse, dz_sums_F, output_BD = step.backward_sparse() if is_sparse else step.backward_dense()
    model.backward_biases(dz_sums_F)
    auxk.backward(model, inputs_BD, output_BD)
    return StepStatistics(mse=mse, l1=l1, penalty=l1, loss=mse + alpha * l1, firings=firings_F)


@dataclass(frozen=True, slots=True)
class _Step:
    """What both ways to the gradients need of a step."""

    model: LinearEncoderSae
    table: Table
    tokens: Tensor
    """Canonical activations [B, D]."""
    inputs: Tensor
    """x - b_dec [B, D], working precision."""
    latents: Tensor
    """f [B, F], working precision."""
    row_weights: Tensor
    """What of W_dec's rows their gradients hold for the norms' sake [F]."""
    added: Tensor
    """What the penalty adds to the gradient of every latent that is on [F]."""

    def backward_dense(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sets the weights' gradients.

        Returns:
            mse, the gradient of z summed over tokens, and the gradient of x_hat.
        """
        model, f_BF = self.model, self.latents
        error_BD = model.reconstruction_error(self.tokens, f_BF)
        mse = error_BD.square().sum() / len(error_BD)
        output_BD = model.backward_decoder(error_BD, f_BF)
        model.gradients["W_dec"].addcmul_(self.row_weights.unsqueeze(1), model.parameters["W_dec"])
        dz_BF = model.latent_gradient(output_BD)
        sums_F = torch.empty_like(self.added)
        self.table.run(
            rows.mask,
            latents=f_BF.t(),
            latent_gradient=dz_BF.t(),
            added=self.added,
            gradient_sums=sums_F,
        )
        model.workspace.product_into(model.gradients["W_enc"], self.inputs.t(), dz_BF)
        return mse, sums_F, output_BD

    def backward_sparse(self) -> tuple[Tensor, Tensor, Tensor]:
        """As `backward_dense`, from the latents that are on."""
        model, f_FB = self.model, self.latents.t()
        W_dec = model.parameters["W_dec"]
        x_hat_BD = model.workspace.buffer("sparse_x_hat", *self.tokens.shape, dtype=torch.float32)
        self.table.run(rows.decode, latents=f_FB, W_dec=W_dec, reconstruction=x_hat_BD)
        error_BD = model.error_of(x_hat_BD, self.tokens)
        mse = error_BD.square().sum() / len(error_BD)
        output_BD = model.backward_reconstruction(error_BD)
        sums_F = torch.empty_like(self.added)
        self.table.run(
            rows.backward,
            latents=f_FB,
            W_dec=W_dec,
            output_gradient=output_BD,
            inputs=self.inputs,
            added=self.added,
            row_weights=self.row_weights,
            gradient_sums=sums_F,
            W_dec_gradient=model.gradients["W_dec"],
            W_enc_gradient=model.gradients["W_enc"].t(),
        )
        return mse, sums_F, output_BD
