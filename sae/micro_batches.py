"""One step's gradients from parts of its batch, where the whole does not fit into memory.

Losses are means over the batch, so their gradient is the mean of the parts' gradients weighted by
the parts' sizes. What an architecture must know of the whole batch (batchtopk's selection, the
quadratic penalty's L0) it finds out in a pass of its own: `TrainableSae.survey`.
"""

import torch
from torch import Tensor

from sae.architectures.base import StepSettings, StepStatistics, TrainableSae
from sae.deferred_gradient import Written

_MEANS = ("mse", "l1", "penalty", "loss")


def accumulate_gradients(
    model: TrainableSae, x_BD: Tensor, settings: StepSettings, micro_batch: int
) -> StepStatistics:
    """Sets the model's gradients to those of the whole batch, computed in parts.

    Args:
        model: Whose gradients are overwritten.
        x_BD: Canonical activations, float32 [batch, d_in], contiguous.
        settings: Of the step.
        micro_batch: Tokens computed at once; from the batch's size on, all.

    Returns:
        The statistics of the whole batch.
    """
    if micro_batch >= len(x_BD):
        return model.compute_gradients(x_BD, settings)
    model.writes = Written.gradients  # to be summed over parts
    sums = {name: torch.zeros_like(value) for name, value in model.gradients.items()}
    means = torch.zeros(len(_MEANS), device=x_BD.device)
    firings_F: Tensor | float = 0.0
    auxiliary: Tensor | float = 0.0
    parts = x_BD.split(micro_batch)
    for part_BD, part_settings in zip(parts, model.survey(parts, settings), strict=True):
        statistics = model.compute_gradients(part_BD, part_settings)
        weight = len(part_BD) / len(x_BD)
        for name, total in sums.items():
            total.add_(model.gradients[name], alpha=weight)
        means += weight * torch.stack([getattr(statistics, name) for name in _MEANS])
        firings_F = statistics.firings + firings_F
        auxiliary = weight * statistics.auxiliary + auxiliary
    for name, total in sums.items():
        model.gradients[name].copy_(total)
    mse, l1, penalty, loss = means
    return StepStatistics(
        mse=mse,
        l1=l1,
        penalty=penalty,
        loss=loss,
        firings=torch.as_tensor(firings_F),
        auxiliary=auxiliary,
    )
