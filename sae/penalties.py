"""What alpha multiplies in each architecture's loss, measured from saved weights.

Shape letters: B batch, D d_in, F latent_dim.
"""

import torch
from torch import Tensor

from sae.architectures.config import Architecture, JumpReluPenalty, SaeConfig
from sae.sae_file import Sae


def penalty_sum(
    config: SaeConfig, sae: Sae, x_BD: Tensor, f_BF: Tensor, norms_F: Tensor
) -> Tensor:
    """The penalty summed over the tokens of a batch; a scalar.

    The quadratic penalty is one of the batch's mean, not of a token: it gives zero here.

    Args:
        config: What was trained.
        sae: As loaded from its file.
        x_BD: Raw activations.
        f_BF: Their latents.
        norms_F: The decoder rows' norms in canonical units.
    """
    if config.architecture is Architecture.gated:
        gate_BF = (x_BD - sae.tensors["b_dec"]) @ sae.tensors["W_enc"] + sae.tensors["b_gate"]
        return (torch.relu(gate_BF) @ norms_F).sum()
    if config.penalty == "l1":
        return (f_BF @ norms_F).sum()
    if config.penalty == JumpReluPenalty.l0:
        return torch.sign(f_BF).sum()
    if config.penalty == JumpReluPenalty.tanh:
        return torch.tanh(config.jumprelu.tanh_scale * f_BF * norms_F).sum()
    return torch.zeros((), device=x_BD.device)


def mean_penalty(
    config: SaeConfig, token_mean: float, l0: float, target_l0: float | None
) -> float:
    """The penalty of all tokens together, from its mean over tokens."""
    if config.penalty == JumpReluPenalty.quadratic and target_l0 is not None:
        return (l0 / target_l0 - 1) ** 2
    return token_mean
