"""JumpReLU's step with compiled loops; the equations of `sae.architectures.jumprelu`.

Not with the tanh penalty, which has a gradient of its own for every latent.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.compiled import CompiledStep
from sae.architectures.compiled_products import Look
from sae.architectures.linear import LinearEncoderSae
from sae.kernels import jumprelu

Penalty = Callable[[Tensor], tuple[Tensor, Tensor | float]]
"""From the latents' firings: the penalty, and the loss's derivative in the batch's L0."""


def compiled_gradients(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings, penalty_of: Penalty
) -> StepStatistics:
    """Sets the gradients; see `TrainableSae.compute_gradients`."""
    step = CompiledStep.encode(model, x_BD, settings)
    z_FB = model.latent_buffer("jumprelu_z", len(x_BD)).t().copy_(step.latents.t())
    threshold_F = model.parameters["threshold"]
    norms_F = model.decoder_norms()
    firings_F, sums_F = step.activate(threshold_F)
    penalty, l0_slope = penalty_of(firings_F)

    counts_F, through_f_F = torch.empty_like(norms_F), torch.empty_like(norms_F)
    bandwidth = model.config.jumprelu.bandwidth
    given = {
        "pre_activations": z_FB,
        "bias": model.parameters["b_enc"],
        "limits": threshold_F,
        "width": torch.tensor([bandwidth]),
        "firings": counts_F,
        "sums": through_f_F,
    }

    def from_gradient(df_BF: Tensor) -> None:
        step.table.run(jumprelu.near_threshold, **given, latent_gradient=df_BF.t())

    def from_rows(output_rows: Tensor) -> None:
        weights = {"W_dec": model.parameters["W_dec"], "output_rows": output_rows}
        step.table.run(jumprelu.near_threshold_sparse, **given, **weights)

    none_F = torch.zeros_like(norms_F)
    mse = step.backward(firings_F, none_F, none_F, Look(from_gradient, from_rows))
    gradient_F = through_f_F.mul_(threshold_F).add_(counts_F * (l0_slope / len(x_BD)))
    torch.mul(gradient_F, -1 / bandwidth, out=model.gradients["threshold"])
    return StepStatistics(
        mse=mse,
        l1=sums_F @ norms_F / len(x_BD),
        penalty=penalty,
        loss=mse + settings.alpha * penalty,
        firings=firings_F,
    )
