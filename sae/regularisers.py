"""Loss terms on the weights alone, added to the gradients of any architecture.

    encoder L2: c ||W_enc||^2
    diversity:  c mean over pairs i != j of cos(W_dec,i, W_dec,j)^2

The pairs are those among a random subset of latents, another one at every step: all pairs would
cost more than the rest of the step. Shape letters: D d_in, F latent_dim, S subset.
"""

import torch
from torch import Tensor

from sae.architectures.base import TrainableSae
from sae.dead_latents import DeadLatentsConfig
from sae.seeding import generator

SUBSET = 512
"""Latents whose pairs are compared in a step; assumption: enough to see every latent often."""
SMALLEST_NORM = 1e-12


def has_regularisers(config: DeadLatentsConfig) -> bool:
    """Whether there is anything to add."""
    return bool(config.encoder_l2 or config.diversity)


def add_regularisers(model: TrainableSae, config: DeadLatentsConfig, seed: int, step: int) -> None:
    """Adds the gradients of both terms where their coefficients are not zero.

    Args:
        model: Whose gradients are added to.
        config: The coefficients.
        seed: The run's seed.
        step: The step; it and the seed determine the subset, so that a resumed run agrees.
    """
    if config.encoder_l2:
        model.gradients["W_enc"].add_(model.parameters["W_enc"], alpha=2 * config.encoder_l2)
    if config.diversity:
        W_dec = model.parameters["W_dec"]
        order = torch.randperm(len(W_dec), generator=generator(seed, f"diversity/step {step}"))
        subset_S = order[:SUBSET]
        if W_dec.device.type == "cuda":  # from pinned memory, so that the host does not wait
            subset_S = subset_S.pin_memory()
        subset_S = subset_S.to(W_dec.device, non_blocking=True)
        gradient_SD = diversity_gradient(W_dec[subset_S]) * config.diversity
        model.gradients["W_dec"].index_add_(0, subset_S, gradient_SD)


def diversity_gradient(rows_SD: Tensor) -> Tensor:
    """Gradient of the mean over pairs i != j of the squared cosine between rows.

    With unit rows u and C = u u^T without its diagonal, the mean is ||C||^2 / (S (S - 1)) and its
    gradient in u is 4 C u / (S (S - 1)); the part along u does not change a unit row.
    """
    count = len(rows_SD)
    if count < 2:
        return torch.zeros_like(rows_SD)
    norms_S1 = rows_SD.norm(dim=1, keepdim=True).clamp_min(SMALLEST_NORM)
    unit_SD = rows_SD / norms_S1
    cosine_SS = (unit_SD @ unit_SD.t()).fill_diagonal_(0)
    gradient_SD = 4 / (count * (count - 1)) * (cosine_SS @ unit_SD)
    along_S1 = (gradient_SD * unit_SD).sum(1, keepdim=True)
    return (gradient_SD - along_S1 * unit_SD) / norms_S1
