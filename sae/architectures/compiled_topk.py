"""TopK's and BatchTopK's steps with compiled loops; the equations are those of their plain steps.

Latents that are as strong as the weakest one selected are selected too.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.compiled import CompiledStep
from sae.architectures.linear import LinearEncoderSae

Select = Callable[[CompiledStep, Tensor], tuple[Tensor, Tensor]]
"""Turns a step's z into f, given the decoder's norms; returns firings and sums [F]."""


def compiled_gradients(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings, select: Select
) -> StepStatistics:
    """Sets the gradients; see `TrainableSae.compute_gradients`."""
    step = CompiledStep.encode(model, x_BD, settings)
    norms_F = model.decoder_norms()
    firings_F, sums_F = select(step, norms_F)
    none_F = torch.zeros_like(norms_F)
    mse = step.backward(firings_F, added_F=none_F, row_weights_F=none_F)
    return StepStatistics(
        mse=mse,
        l1=sums_F @ norms_F / len(x_BD),
        penalty=torch.zeros_like(mse),
        loss=mse,
        firings=firings_F,
    )
