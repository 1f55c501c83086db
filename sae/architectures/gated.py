"""Gated: one path decides whether a latent is on, another how strongly.

Equations (Rajamanoharan et al. 2024, arXiv 2404.16014; a bar means held constant):

    p = (x - b_dec) W_enc,  gate = p + b_gate,  magnitude = exp(r_mag) p + b_mag
    f = H(gate) relu(magnitude),  x_hat = f W_dec + b_dec,  ||W_dec,i|| = 1 after every step
    loss = mean_b sum_d (x - x_hat)^2 + alpha mean_b sum_i relu(gate_i)
           + mean_b sum_d (x - relu(gate) bar(W_dec) - bar(b_dec))^2

The rows of W_dec have unit norm, as in the paper: free to shrink, they would lower the penalty
without any latent going off, and exp(r_mag) would make up for it in x_hat. Free to change but
constant in the penalty, they grow to strengthen latents, which is r_mag's part, and drag the gate
along: fvu at equal L0 is then 2 to 4 % higher (measured like `DECODER_RATE_FACTOR`).

Both paths share one product p, where SAELens computes three and does not hold the decoder of the
auxiliary term constant. Shape letters: B batch, D d_in, F latent_dim.
"""

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import InferenceWeights, StepSettings, StepStatistics
from sae.architectures.config import SaeConfig
from sae.architectures.linear import LinearEncoderSae, keep_where_positive

DECODER_RATE_FACTOR = 3.0
"""W_dec's learning rate relative to the others': of the two reconstructions only one moves W_dec,
and rows of unit norm turn slowly. With 1, 2, 3, 4 fvu at L0 66 is 0.0920, 0.0891, 0.0886, 0.0887
at a learning rate of 3e-3, and 0.110, 0.101, 0.097, 0.096 at 1e-3 (measured: all-MiniLM-L6-v2
layer 3, width 2048, 1,000 steps of 512; W_enc's rows at unit norm at the start)."""


class GatedSae(LinearEncoderSae):
    """The gradient of the equations above, by hand."""

    norms_outlive_updates = False  # they are brought back to one

    @staticmethod
    def adapt(config: SaeConfig, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replaces the encoder's bias by b_gate, b_mag and r_mag; gives W_dec's rows unit norm.

        W_enc stays as it is: with rows of unit norm there too, a wide SAE's x_hat starts at many
        times x (16,384 latents, d_in 384: fvu 438 at first, 55 after 50 steps; so 1.5 and 0.18).
        """
        zeros_F = weights.pop("b_enc")
        paths = {name: zeros_F.clone() for name in ("b_gate", "b_mag", "r_mag")}
        return weights | paths | {"W_dec": weights["W_dec"] / config.decoder_init_norm}

    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """See `TrainableSae.compute_gradients`."""
        if self.workspace.compiled:
            # Imported here since it needs numba, and loads what was compiled.
            from sae.architectures.compiled_gated import compiled_gradients

            return compiled_gradients(self, x_BD, settings)
        return self.plain_gradients(x_BD, settings)

    def plain_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """The step in torch's own operations, which the compiled one is held to."""
        batch, alpha, space = x_BD.shape[0], settings.alpha, self.workspace
        p_BF, inputs_BD = self.encode_linear(x_BD, bias=None)
        b_gate_F = space.cast("b_gate", self.parameters["b_gate"])
        gate_BF = torch.add(p_BF, b_gate_F, out=self.latent_buffer("gate", batch))
        auxk = AuxK(self.workspace, gate_BF, settings.revival)
        gain_F = self.parameters["r_mag"].exp()
        f_BF = self._magnitudes(p_BF, gate_BF, gain_F)
        gate_BF.relu_()
        firings_F = self.count_firings(f_BF)
        l1 = f_BF.sum(dtype=torch.float32) / batch
        penalty = gate_BF.sum(dtype=torch.float32) / batch
        error_BD = self.reconstruction_error(x_BD, f_BF)
        gate_error_BD = self.reconstruction_error(x_BD, gate_BF, "gate_error")
        mse = error_BD.square().sum() / batch
        gate_mse = gate_error_BD.square().sum() / batch

        output_BD = self.backward_decoder(error_BD, f_BF)
        dmagnitude_BF, sums_F, _ = self.mask(self.latent_gradient(output_BD), f_BF)
        self.gradients["b_mag"].copy_(sums_F)
        gate_output_BD = space.cast("gate_output", gate_error_BD.mul_(2 / batch))
        dgate_BF = self.latent_gradient(gate_output_BD, name="gate_gradient")
        dgate_BF, sums_F, _ = self.mask(dgate_BF, gate_BF, alpha / batch)
        self.gradients["b_gate"].copy_(sums_F)
        dp_BF = self._backward_paths(p_BF, dmagnitude_BF, dgate_BF, gain_F)
        dp_sums_F = self.gradients["b_gate"] + gain_F * self.gradients["b_mag"]
        self.backward_encoder(inputs_BD, dp_BF, dp_sums_F, bias=None)
        auxk.backward(self, inputs_BD, output_BD, bias="b_gate")
        return StepStatistics(
            mse=mse,
            l1=l1,
            penalty=penalty,
            loss=mse + alpha * penalty + gate_mse,
            firings=firings_F,
            auxiliary=gate_mse,
        )

    def _magnitudes(self, p_BF: Tensor, gate_BF: Tensor, gain_F: Tensor) -> Tensor:
        """The latents H(gate) relu(exp(r_mag) p + b_mag)."""
        space = self.workspace
        b_mag_F = space.cast("b_mag", self.parameters["b_mag"])
        magnitude_BF = self.latent_buffer("magnitude", len(p_BF))
        torch.addcmul(b_mag_F, p_BF, space.cast("gain", gain_F), out=magnitude_BF)
        return keep_where_positive(magnitude_BF.relu_(), gate_BF)

    def _backward_paths(
        self, p_BF: Tensor, dmagnitude_BF: Tensor, dgate_BF: Tensor, gain_F: Tensor
    ) -> Tensor:
        """Sets the gradient of r_mag; returns that of p."""
        correlation_F = p_BF.mul_(dmagnitude_BF).sum(0, dtype=torch.float32)
        torch.mul(correlation_F, gain_F, out=self.gradients["r_mag"])
        return dgate_BF.addcmul_(dmagnitude_BF, self.workspace.cast("gain", gain_F))

    def after_update(self) -> None:
        """Brings the rows of W_dec back to unit norm."""
        self.parameters["W_dec"].div_(self.decoder_norms().unsqueeze(1))

    def rate_factors(self) -> dict[str, float]:
        """The decoder moves faster."""
        return {"W_dec": DECODER_RATE_FACTOR}

    def inference_weights(self) -> InferenceWeights:
        """The six tensors of SAELens's gated."""
        tensors = {name: value.detach().clone() for name, value in self.parameters.items()}
        return InferenceWeights(architecture="gated", tensors=tensors, extra={})


ARCHITECTURE = GatedSae
