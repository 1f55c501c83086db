"""The standard SAE's step with compiled loops; the equations of `sae.architectures.standard`."""

import torch
from torch import Tensor

from sae.architectures import listed, screened
from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.compiled import CompiledStep
from sae.architectures.linear import LinearEncoderSae
from sae.architectures.listed import ListedStep


def compiled_gradients(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
) -> StepStatistics:
    """Sets the gradients; see `TrainableSae.compute_gradients`."""
    batch, alpha = len(x_BD), settings.alpha
    step, firings_F, sums_F = _rectified(model, x_BD, settings)
    norms_F = model.decoder_norms()
    mean_f_F = sums_F.div_(batch)
    l1 = mean_f_F @ norms_F
    mse = step.backward(
        firings_F, added_F=alpha / batch * norms_F, row_weights_F=alpha * mean_f_F / norms_F
    )
    return StepStatistics(mse=mse, l1=l1, penalty=l1, loss=mse + alpha * l1, firings=firings_F)


def _rectified(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
) -> tuple[CompiledStep | ListedStep, Tensor, Tensor]:
    """The step with f, on how many tokens each latent is on, and its sum over them."""
    found = listed.rectify(model, x_BD, settings) or screened.rectify(model, x_BD, settings)
    if found is not None:
        return found
    step = CompiledStep.encode(model, x_BD, settings)
    return step, *step.activate(torch.zeros(model.config.latent_dim))
