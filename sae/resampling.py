"""Replaces dead latents during training.

    copy:          a living latent's weights plus noise of a tenth of their norm
    loss_weighted: encoder and decoder along x - b_dec of a token drawn with probability
                   proportional to its squared loss; the encoder row at a fifth of the living
                   ones' mean norm, the decoder row at their mean norm, bias zero
                   (Bricken et al. 2023, "Towards Monosemanticity", appendix)

Adam's moments of a replaced latent start at zero again. Shape letters: B batch, D d_in,
F latent_dim, N replaced.
"""

import torch
from torch import Tensor

from sae.architectures.base import LATENT_AXIS, TrainableSae
from sae.dead_latents import Resampling
from sae.device import with_tokens_that_fit
from sae.optimizer import Adam

COPY_NOISE = 0.1
"""Noise relative to the copied weights' norm; assumption (the guide names none)."""
ENCODER_NORM = 0.2
"""Of the living ones' mean (Bricken et al. 2023)."""


def resample(
    kind: Resampling,
    model: TrainableSae,
    optimizer: Adam,
    dead_F: Tensor,
    x_BD: Tensor,
    random: torch.Generator,
) -> int:
    """Replaces the dead latents.

    Args:
        kind: How.
        model: Whose weights are overwritten.
        optimizer: Whose moments are reset.
        dead_F: True for the latents to replace.
        x_BD: A batch of canonical activations, to draw tokens from.
        random: Source of what is drawn, on the CPU.

    Returns:
        How many were replaced; 0 where none is dead, or none is left alive to take after.
    """
    dead_N = dead_F.nonzero().squeeze(1)
    alive = (~dead_F).nonzero().squeeze(1)
    if kind is Resampling.none or len(dead_N) == 0 or len(alive) == 0:
        return 0
    if kind is Resampling.copy:
        _copy_living(model, dead_N, alive, random)
    else:
        _take_badly_reconstructed_tokens(model, dead_N, alive, x_BD, random)
    for name, tensor in optimizer.state_tensors().items():
        parameter, _, moment = name.partition(".")
        if moment != "step":
            _fill(tensor, parameter, dead_N, torch.zeros((), device=tensor.device))
    return len(dead_N)


def _copy_living(
    model: TrainableSae, dead_N: Tensor, alive: Tensor, random: torch.Generator
) -> None:
    picks_N = torch.randint(len(alive), (len(dead_N),), generator=random)
    sources_N = alive[picks_N.to(alive.device)]
    for name, value in model.parameters.items():
        axis = LATENT_AXIS.get(name, 0)
        if axis is None:
            continue
        copied = value.index_select(axis, sources_N)
        if copied.dim() == 2:
            noise = torch.randn(copied.shape, generator=random).to(copied.device)
            norms = copied.norm(dim=1 - axis, keepdim=True)
            noise *= COPY_NOISE * norms / noise.norm(dim=1 - axis, keepdim=True)
            copied += noise
        value.index_copy_(axis, dead_N, copied)


def _take_badly_reconstructed_tokens(
    model: TrainableSae,
    dead_N: Tensor,
    alive: Tensor,
    x_BD: Tensor,
    random: torch.Generator,
) -> None:
    weights = model.parameters
    losses_B, _ = with_tokens_that_fit(
        lambda tokens: torch.cat([model.token_losses(part) for part in x_BD.split(tokens)]),
        len(x_BD),
    )
    losses_B = losses_B.cpu().double()
    picks_N = torch.multinomial(
        losses_B.square() + 1e-30, len(dead_N), replacement=True, generator=random
    )
    directions_ND = x_BD[picks_N.to(x_BD.device)] - weights["b_dec"]
    directions_ND = directions_ND / directions_ND.norm(dim=1, keepdim=True).clamp_min(1e-12)
    decoder_norm = weights["W_dec"][alive].norm(dim=1).mean()
    encoder_norm = ENCODER_NORM * weights["W_enc"][:, alive].norm(dim=0).mean()
    fresh = model.fresh_latents(len(dead_N)) | {
        "W_dec": directions_ND * decoder_norm,
        "W_enc": (directions_ND * encoder_norm).t(),
    }
    for name, value in fresh.items():
        _fill(weights[name], name, dead_N, value)


def _fill(tensor: Tensor, parameter: str, dead_N: Tensor, value: Tensor) -> None:
    axis = LATENT_AXIS.get(parameter, 0)
    if axis == 0:
        tensor[dead_N] = value
    elif axis == 1:
        tensor[:, dead_N] = value
