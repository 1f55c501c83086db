"""ReLU latents of a batch, of which only those are computed that may be on.

For processors that multiply whole numbers twice as fast as float32, and nothing faster
(`sae.kernels.tiles`). Shape letters: B batch, D d_in, F latent_dim, N dead latents.
"""

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK, filled_up
from sae.architectures.base import Revival, StepSettings
from sae.architectures.compiled import CompiledStep, is_faster_sparse, table_of
from sae.architectures.linear import LinearEncoderSae
from sae.kernels import tiles

BELOW = 0.1
"""Density of the latents below which the screen is faster than the product of all (measured:
python -m benchmarks.density)."""
MOST_DEAD = 0.2
"""Share of latents that AuxK may ask for, of which all are computed; assumption: what the screen
spares is about a third of the product."""
SAMPLE_TOKENS, EVERY = 32, 32
"""A batch's density is guessed from its first tokens, on every so many-th latent."""


def rectify(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
) -> tuple[CompiledStep, Tensor, Tensor] | None:
    """The step with f where it is marked, and what `CompiledStep.activate` returns.

    From this very batch's density, as in `is_faster_sparse`.

    Args:
        model: Whose encoder is used.
        x_BD: Canonical activations.
        settings: Of the step.

    Returns:
        None where computing all is faster.
    """
    if not _pays(model, x_BD, settings.revival):
        return None
    # Imported here since not every processor has the instruction that it is compiled to.
    from sae.kernels import screen

    inputs_BD, z_BF = model.centre(x_BD), model.latent_buffer("z", len(x_BD))
    if settings.revival is not None:
        encode_dead(model, inputs_BD, settings.revival, z_BF)
    b_enc, table = model.parameters["b_enc"], table_of(model, x_BD)
    auxk = AuxK(model.workspace, z_BF, settings.revival, b_enc)
    firings_F, sums_F = torch.empty_like(b_enc), torch.empty_like(b_enc)
    buffer, whole_shape = model.workspace.buffer, screen.whole_tokens_shape(*x_BD.shape)
    table.fill(
        input_rows=inputs_BD,
        whole_tokens=buffer("whole_tokens", *whole_shape, dtype=torch.uint8),
        token_numbers=buffer("token_numbers", whole_shape[0], 3, tiles.TOKENS),
    )
    table.run(screen.round_tokens)
    table.run(
        screen.activate_found,
        encoder=model.parameters["W_enc"].t(),
        bias=b_enc,
        latents=z_BF.t(),
        firings=firings_F,
        sums=sums_F,
    )
    if not is_faster_sparse(model, firings_F, x_BD):
        return None
    step = CompiledStep(model, table, x_BD, inputs_BD, z_BF, auxk, only_where_marked=True)
    return step, firings_F, sums_F


def _pays(model: LinearEncoderSae, x_BD: Tensor, revival: Revival | None) -> bool:
    if model.workspace.dtype is not torch.float32 or x_BD.shape[1] % 2 or not tiles.has_tiles():
        return False
    return not has_many_dead(model, revival) and looks_below(model, x_BD, BELOW)


def looks_below(model: LinearEncoderSae, x_BD: Tensor, density: float) -> bool:
    """Whether a batch's first tokens have fewer latents on than that."""
    weights = model.parameters
    inputs_BD = x_BD[:SAMPLE_TOKENS] - weights["b_dec"]
    W_FD, b_F = weights["W_enc"].t()[::EVERY], weights["b_enc"][::EVERY]
    z_FB = torch.addmm(b_F.unsqueeze(1), W_FD, inputs_BD.t())
    return int((z_FB > 0).sum()) < density * z_FB.numel()


def has_many_dead(model: LinearEncoderSae, revival: Revival | None) -> bool:
    """Whether AuxK may ask for so many latents that all might as well be computed."""
    return revival is not None and len(revival.dead.listed) > MOST_DEAD * model.config.latent_dim


def encode_dead(
    model: LinearEncoderSae, inputs_BD: Tensor, revival: Revival, z_BF: Tensor
) -> None:
    """Writes z, without its bias, of the latents that AuxK works on."""
    dead_N, space = revival.dead.listed, model.workspace
    rows, (batch, d_in) = filled_up(len(dead_N)), inputs_BD.shape
    W_FD = space.cast_weight("W_enc", model.parameters["W_enc"]).t()
    rows_ND = space.buffer("dead_encoder_rows", rows, d_in)
    rows_ND[: len(dead_N)], rows_ND[len(dead_N) :] = W_FD[dead_N], 0
    z_NB = torch.mm(rows_ND, inputs_BD.t(), out=space.buffer("dead_encoded", rows, batch))
    z_BF.t().index_copy_(0, dead_N, z_NB[: len(dead_N)])
