"""Every architecture's loss as its equations say it, for autograd in float64.

Straight-through parts are written as a constant plus slope times (theta - constant theta). Shape
letters: B batch, D d_in, F latent_dim.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from sae.architectures.base import Revival, StepSettings
from sae.architectures.config import Architecture, SaeConfig

Weights = Mapping[str, Tensor]


def reference_gradients(
    config: SaeConfig, weights: Weights, x_BD: Tensor, settings: StepSettings
) -> dict[str, Tensor]:
    """Gradients by the parameters' names, float64.

    Args:
        config: The architecture; JumpReLU with its l0 penalty.
        weights: The parameters.
        x_BD: A batch.
        settings: alpha, k of topk and batchtopk, and the latents that are revived, all at once.
    """
    leaves = {name: value.double().requires_grad_() for name, value in weights.items()}
    _loss(config, leaves, x_BD.double(), settings).backward()
    return {name: value.grad for name, value in leaves.items() if value.grad is not None}


def _loss(config: SaeConfig, weights: Weights, x_BD: Tensor, settings: StepSettings) -> Tensor:
    alpha, k = settings.alpha, settings.target_l0 or 1.0
    p_BF = (x_BD - weights["b_dec"]) @ weights["W_enc"]
    norms_F = weights["W_dec"].norm(dim=1)
    z_BF = p_BF + weights["b_gate" if config.architecture is Architecture.gated else "b_enc"]
    extra = torch.zeros((), dtype=x_BD.dtype, device=x_BD.device)
    match config.architecture:
        case Architecture.standard:
            f_BF = torch.relu(z_BF)
            extra = alpha * (f_BF * norms_F).sum(1).mean()
        case Architecture.gated:
            gate_BF = torch.relu(z_BF)
            f_BF = torch.relu(p_BF * weights["r_mag"].exp() + weights["b_mag"]) * (gate_BF > 0)
            frozen_BD = gate_BF @ weights["W_dec"].detach() + weights["b_dec"].detach()
            extra = alpha * gate_BF.sum(1).mean()
            extra = extra + (x_BD - frozen_BD).square().sum(1).mean()
        case Architecture.jumprelu:
            f_BF, l0 = _jump(config, z_BF, weights["threshold"])
            extra = alpha * l0
        case Architecture.topk | Architecture.batchtopk:
            f_BF = _selected(config, z_BF, norms_F, k)
    error_BD = x_BD - f_BF @ weights["W_dec"] - weights["b_dec"]
    loss = error_BD.square().sum(1).mean() + extra
    if settings.revival is None:
        return loss
    return loss + _revival_loss(settings.revival, weights["W_dec"], z_BF, error_BD.detach())


def _revival_loss(revival: Revival, W_dec: Tensor, z_BF: Tensor, error_BD: Tensor) -> Tensor:
    """See `sae.architectures.auxk`."""
    listed = revival.dead.listed
    z_BN, rows_ND = z_BF[:, listed], W_dec[listed]
    left_over_BD = error_BD - torch.relu(z_BN) @ rows_ND
    raised_B = torch.relu(-z_BN) @ rows_ND.detach().norm(dim=1)
    return (
        revival.coefficient * left_over_BD.square().sum(1).mean()
        + revival.pre_activation * raised_B.mean()
    )


def _jump(config: SaeConfig, z_BF: Tensor, threshold_F: Tensor) -> tuple[Tensor, Tensor]:
    frozen_F = threshold_F.detach()
    distance_BF = z_BF.detach() - frozen_F
    width = config.jumprelu.bandwidth
    moved_BF = (distance_BF.abs() < width / 2) / width * (threshold_F - frozen_F)
    above_BF = (distance_BF > 0).to(z_BF.dtype)
    f_BF = z_BF * above_BF - frozen_F * moved_BF
    return f_BF, (above_BF - moved_BF).sum(1).mean()


def _selected(config: SaeConfig, z_BF: Tensor, norms_F: Tensor, k: float) -> Tensor:
    strength_BF = (z_BF * norms_F).detach()
    if config.architecture is Architecture.topk:
        chosen = torch.topk(strength_BF, round(k), dim=1).indices
        mask_BF = torch.zeros_like(z_BF).scatter_(1, chosen, 1.0)
    else:
        chosen = torch.topk(strength_BF.flatten(), round(k * len(z_BF))).indices
        mask_BF = torch.zeros_like(z_BF).flatten().scatter_(0, chosen, 1.0).view_as(z_BF)
    return torch.relu(z_BF) * mask_BF
