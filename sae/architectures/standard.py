"""The standard SAE: ReLU latents, L1 penalty weighted by the decoder's norms.

Equations (Anthropic, "Circuits Updates - April 2024"; the same loss as SAELens's standard):

    z = (x - b_dec) W_enc + b_enc,  f = relu(z),  x_hat = f W_dec + b_dec
    loss = mean_b sum_d (x - x_hat)^2 + alpha mean_b sum_i f_i ||W_dec,i||

Shape letters: B batch, D d_in, F latent_dim.
"""

from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.linear import LinearEncoderSae


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
        f_BF, inputs_BD = self.encode_linear(x_BD, bias=None)
        auxk = AuxK(self.workspace, f_BF, settings.revival, self.parameters["b_enc"])
        firings_F, sums_F = self.rectify(f_BF)
        error_BD = self.reconstruction_error(x_BD, f_BF)
        norms_F = self.decoder_norms()
        mean_f_F = sums_F / batch
        mse = error_BD.square().sum() / batch
        l1 = mean_f_F @ norms_F

        output_BD = self.backward_decoder(error_BD, f_BF)
        df_BF = self.latent_gradient(output_BD)
        dz_BF, dz_sums_F, along_F = self.mask(df_BF, f_BF, alpha / batch * norms_F)
        self.add_norm_gradient(alpha * mean_f_F, norms_F, along_F)
        self.backward_encoder(inputs_BD, dz_BF, dz_sums_F)
        auxk.backward(self, inputs_BD, output_BD)
        return StepStatistics(mse=mse, l1=l1, penalty=l1, loss=mse + alpha * l1, firings=firings_F)


ARCHITECTURE = StandardSae
