"""The standard SAE: ReLU latents, L1 penalty weighted by the decoder's norms.

Equations (Anthropic, "Circuits Updates - April 2024"; the same loss as SAELens's standard):

    z = (x - b_dec) W_enc + b_enc,  f = relu(z),  x_hat = f W_dec + b_dec
    loss = mean_b sum_d (x - x_hat)^2 + alpha mean_b sum_i f_i ||W_dec,i||

Shape letters: B batch, D d_in, F latent_dim.
"""

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.linear import LinearEncoderSae, keep_where_positive


class StandardSae(LinearEncoderSae):
    """The gradient of the equations above, by hand."""

    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """See `TrainableSae.compute_gradients`."""
        if self.workspace.compiled:
            # Imported here since it needs numba, and loads what was compiled.
            from sae.architectures.compiled_standard import compiled_gradients

            return compiled_gradients(self, x_BD, settings)
        return self.plain_gradients(x_BD, settings)

    def plain_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """The step in torch's own operations, which the compiled one is held to."""
        batch, alpha = x_BD.shape[0], settings.alpha
        z_BF, inputs_BD = self.encode_linear(x_BD)
        auxk = AuxK(self.workspace, z_BF, settings.revival)
        f_BF = z_BF.relu_()
        firings_F = self.count_firings(f_BF)
        error_BD = self.reconstruction_error(x_BD, f_BF)
        norms_F = self.decoder_norms()
        mean_f_F = f_BF.sum(0, dtype=torch.float32) / batch
        mse = error_BD.square().sum() / batch
        l1 = mean_f_F @ norms_F

        output_BD = self.backward_decoder(error_BD, f_BF)
        self.add_norm_gradient(alpha * mean_f_F, norms_F)
        df_BF = self.latent_gradient(output_BD, alpha / batch * norms_F)
        dz_BF = keep_where_positive(df_BF, f_BF)
        self.backward_encoder(inputs_BD, dz_BF)
        auxk.backward(self, inputs_BD, output_BD)
        return StepStatistics(mse=mse, l1=l1, penalty=l1, loss=mse + alpha * l1, firings=firings_F)


ARCHITECTURE = StandardSae
