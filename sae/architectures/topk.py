"""TopK: the k strongest latents of every token are on, so L0 is set and there is no alpha.

Equations (Gao et al. 2024, arXiv 2406.04093; strength weighted by the decoder's norms, so that
it is what the latent contributes and no constraint on the decoder is needed, as in SAELens):

    z = (x - b_dec) W_enc + b_enc,  S = the k largest z_i ||W_dec,i|| of the token
    f_i = relu(z_i) for i in S, else 0;   x_hat = f W_dec + b_dec
    loss = mean_b sum_d (x - x_hat)^2

Saved with the norms folded in (unit decoder rows), where S is simply the k largest z. Shape
letters: B batch, D d_in, F latent_dim, K selected.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import InferenceWeights, StepSettings, StepStatistics
from sae.architectures.config import whole_k
from sae.architectures.linear import LinearEncoderSae
from sae.encoders import unit_decoder

if TYPE_CHECKING:
    from sae.architectures.compiled import CompiledStep


class TopKSae(LinearEncoderSae):
    """The gradient of the equations above, by hand."""

    last_target: float = 1.0
    """Active latents per token that the last step was asked for."""

    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """See `TrainableSae.compute_gradients`."""
        self.last_target = settings.target_l0 or 1.0
        if self.workspace.compiled and settings.selected is None:
            # Imported here since it needs numba, and loads what was compiled.
            from sae.architectures.compiled_topk import compiled_gradients

            return compiled_gradients(self, x_BD, settings, self.select_compiled)
        return self.plain_gradients(x_BD, settings)

    def plain_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """The step in torch's own operations, which the compiled one is held to."""
        batch = x_BD.shape[0]
        z_BF, inputs_BD = self.encode_linear(x_BD)
        auxk = AuxK(self.workspace, z_BF, settings.revival)
        norms_F = self.decoder_norms()
        f_BF = self.select(z_BF, norms_F)
        firings_F = self.count_firings(f_BF)
        error_BD = self.reconstruction_error(x_BD, f_BF)
        mse = error_BD.square().sum() / batch
        l1 = f_BF.sum(0, dtype=torch.float32) @ norms_F / batch

        output_BD = self.backward_decoder(error_BD, f_BF)
        dz_BF, sums_F, _ = self.mask(self.latent_gradient(output_BD), f_BF)
        self.backward_encoder(inputs_BD, dz_BF, sums_F)
        auxk.backward(self, inputs_BD, output_BD)
        return StepStatistics(
            mse=mse, l1=l1, penalty=torch.zeros_like(mse), loss=mse, firings=firings_F
        )

    def select(self, z_BF: Tensor, norms_F: Tensor) -> Tensor:
        """f: the positive ones among each token's k strongest latents."""
        # Each token's latents side by side, since the search goes through them token by token.
        strength_BF = self.workspace.buffer("strength", *z_BF.shape)
        torch.mul(z_BF, self.workspace.cast("norms", norms_F), out=strength_BF)
        top_BK = torch.topk(strength_BF, self.k, dim=1, sorted=False).indices
        f_BF = self.latent_buffer("f", len(z_BF)).zero_()
        return f_BF.scatter_(1, top_BK, z_BF.gather(1, top_BK)).relu_()

    def select_compiled(self, step: "CompiledStep", norms_F: Tensor) -> tuple[Tensor, Tensor]:
        """As `select`, in place; returns each latent's firings and sum over tokens."""
        from sae.kernels.strongest import keep_of_tokens

        bias_F = self.parameters["b_enc"]
        return keep_of_tokens(step.table, step.latents.t(), bias_F, norms_F, self.k)

    def after_restore(self, target_l0: float | None) -> None:
        """K too, which may be wanted before another step: by a run that was at its end."""
        super().after_restore(target_l0)
        self.last_target = target_l0 or 1.0

    @property
    def k(self) -> int:
        """Active latents per token."""
        return whole_k(self.last_target)

    def inference_weights(self) -> InferenceWeights:
        """The four tensors of SAELens's topk, with unit decoder rows, and k."""
        return InferenceWeights(
            architecture="topk",
            tensors=self.unit_decoder_tensors(),
            extra={"k": self.k, "rescale_acts_by_decoder_norm": False},
        )

    def unit_decoder_tensors(self) -> dict[str, Tensor]:
        """The parameters of the same function with decoder rows of norm one."""
        return unit_decoder(self.parameters)


ARCHITECTURE = TopKSae
