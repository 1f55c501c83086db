"""JumpReLU: a learned threshold per latent, trained through a straight-through estimator.

Equations (Rajamanoharan et al. 2024, arXiv 2407.14435; H is the unit step, theta >= 0):

    z = (x - b_dec) W_enc + b_enc,  f = z H(z - theta),  x_hat = f W_dec + b_dec
    loss = mean_b sum_d (x - x_hat)^2 + alpha penalty
    penalty l0:        mean_b sum_i H(z_i - theta_i)
    penalty tanh:      mean_b sum_i tanh(c f_i ||W_dec,i||)             (Anthropic, January 2025)
    penalty quadratic: (mean_b sum_i H(z_i - theta_i) / target - 1)^2   (dictionary_learning)

The step's derivative is replaced by K(u / eps) / eps with the rectangle K(v) = 1 for |v| < 1/2,
with respect to theta only:

    d f / d theta = -theta K((z - theta) / eps) / eps,  d H / d theta = -K((z - theta) / eps) / eps

theta itself is trained, not its logarithm: Adam moves a logarithm so slowly that L0 cannot fall
(SAELens issue 494). Shape letters: B batch, D d_in, F latent_dim.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import InferenceWeights, StepSettings, StepStatistics
from sae.architectures.config import JumpReluPenalty, SaeConfig
from sae.architectures.linear import LinearEncoderSae, keep_where_positive
from sae.deferred_gradient import Written


class JumpReluSae(LinearEncoderSae):
    """The gradient of the equations above, by hand."""

    @staticmethod
    def adapt(config: SaeConfig, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Adds the thresholds."""
        threshold = torch.full_like(weights["b_enc"], config.jumprelu.initial_threshold)
        return weights | {"threshold": threshold}

    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """See `TrainableSae.compute_gradients`."""
        if self.workspace.compiled and self.config.jumprelu.penalty is not JumpReluPenalty.tanh:
            # Imported here since it needs numba, and loads what was compiled.
            from sae.architectures.compiled_jumprelu import compiled_gradients

            return compiled_gradients(
                self, x_BD, settings, partial(self._l0_penalty, settings=settings, batch=len(x_BD))
            )
        return self.plain_gradients(x_BD, settings)

    def plain_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """The step in torch's own operations, which the compiled one is held to."""
        batch, alpha, space = x_BD.shape[0], settings.alpha, self.workspace
        z_BF, inputs_BD = self.encode_linear(x_BD)
        auxk = AuxK(self.workspace, z_BF, settings.revival)
        threshold_F = space.cast("threshold", self.parameters["threshold"])
        above_BF = torch.sub(z_BF, threshold_F, out=self.latent_buffer("above", batch))
        f_BF = keep_where_positive(z_BF, above_BF)
        firings_F = self.count_firings(f_BF)
        error_BD = self.reconstruction_error(x_BD, f_BF)
        norms_F = self.decoder_norms()
        mse = error_BD.square().sum() / batch
        l1 = f_BF.sum(0, dtype=torch.float32) @ norms_F / batch

        output_BD = self.backward_decoder(error_BD, f_BF)
        df_BF = self.latent_gradient(output_BD)
        penalty, l0_slope = self._penalty(f_BF, df_BF, norms_F, firings_F, settings)
        self._backward_threshold(above_BF, df_BF, l0_slope)
        dz_BF, sums_F, _ = self.mask(df_BF, f_BF)
        self.backward_encoder(inputs_BD, dz_BF, sums_F)
        auxk.backward(self, inputs_BD, output_BD)
        return StepStatistics(
            mse=mse, l1=l1, penalty=penalty, loss=mse + alpha * penalty, firings=firings_F
        )

    def survey(self, parts: Sequence[Tensor], settings: StepSettings) -> list[StepSettings]:
        """The quadratic penalty depends on the whole batch's L0."""
        if self.config.jumprelu.penalty is not JumpReluPenalty.quadratic:
            return super().survey(parts, settings)
        threshold_F = self.workspace.cast("threshold", self.parameters["threshold"])
        firings = torch.zeros((), device=self.workspace.device)
        for part_BD in parts:
            z_BF, _ = self.encode_linear(part_BD)
            firings += (z_BF > threshold_F).sum()
        tokens = sum(len(part_BD) for part_BD in parts)
        return [replace(settings, batch_l0=firings / tokens)] * len(parts)

    def _penalty(
        self,
        f_BF: Tensor,
        df_BF: Tensor,
        norms_F: Tensor,
        firings_F: Tensor,
        settings: StepSettings,
    ) -> tuple[Tensor, Tensor | float]:
        """The penalty, and the loss's derivative with respect to the batch's L0.

        The tanh penalty acts through f instead: its gradient is added to `df_BF` and W_dec's.
        """
        if self.config.jumprelu.penalty is not JumpReluPenalty.tanh:
            return self._l0_penalty(firings_F, settings, len(f_BF))
        batch, alpha = len(f_BF), settings.alpha
        scale_F = self.config.jumprelu.tanh_scale * norms_F
        tanh_BF = torch.tanh(f_BF * self.workspace.cast("tanh_scale", scale_F))
        penalty = tanh_BF.sum(dtype=torch.float32) / batch
        slope_BF = tanh_BF.square_().neg_().add_(1)
        weights_F = (f_BF * slope_BF).sum(0, dtype=torch.float32)
        weights_F *= alpha / batch * self.config.jumprelu.tanh_scale
        is_deferred = self.writes is not Written.gradients
        along_F = (f_BF * df_BF).sum(0, dtype=torch.float32) if is_deferred else None
        self.add_norm_gradient(weights_F, norms_F, along_F)
        df_BF.addcmul_(slope_BF, self.workspace.cast("tanh_slope", alpha / batch * scale_F))
        return penalty, 0.0

    def _l0_penalty(
        self, firings_F: Tensor, settings: StepSettings, batch: int
    ) -> tuple[Tensor, Tensor | float]:
        """As `_penalty`, where it depends on the batch's L0 only."""
        alpha = settings.alpha
        l0 = firings_F.sum() / batch if settings.batch_l0 is None else settings.batch_l0
        if self.config.jumprelu.penalty is JumpReluPenalty.l0:
            return l0, alpha
        target = settings.target_l0 or 1.0
        distance = l0 / target - 1
        return distance.square(), 2 * alpha / target * distance

    def _backward_threshold(
        self, above_BF: Tensor, df_BF: Tensor, l0_slope: Tensor | float
    ) -> None:
        """Sets the thresholds' gradient by the straight-through estimator.

        Args:
            above_BF: z - theta; overwritten.
            df_BF: Gradient with respect to f.
            l0_slope: Derivative of the loss with respect to the batch's L0.
        """
        bandwidth = self.config.jumprelu.bandwidth
        # Positive exactly where the rectangle is one: bandwidth / 2 - |z - theta|.
        inside_BF = above_BF.abs_().neg_().add_(bandwidth / 2)
        near_BF = torch.ops.aten.threshold_backward.grad_input(
            df_BF, inside_BF, 0, grad_input=self.latent_buffer("near", len(df_BF))
        )
        through_f_F = near_BF.sum(0, dtype=torch.float32)
        count_F = inside_BF.relu_().sign_().sum(0, dtype=torch.float32)
        gradient_F = self.parameters["threshold"] * through_f_F
        gradient_F += count_F * (l0_slope / len(df_BF))
        torch.mul(gradient_F, -1 / bandwidth, out=self.gradients["threshold"])

    def after_update(self) -> None:
        """Keeps thresholds from going below zero, where they would stop gating."""
        self.parameters["threshold"].clamp_(min=0)

    def rate_factors(self) -> dict[str, float]:
        """Thresholds move faster: see `JumpReluConfig.threshold_rate_factor`."""
        return {"threshold": self.config.jumprelu.threshold_rate_factor}

    def inference_weights(self) -> InferenceWeights:
        """The five tensors of SAELens's jumprelu."""
        tensors = {name: value.detach().clone() for name, value in self.parameters.items()}
        return InferenceWeights(architecture="jumprelu", tensors=tensors, extra={})


ARCHITECTURE = JumpReluSae
