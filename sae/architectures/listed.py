"""ReLU latents of a batch, listed where they are on and never written as a matrix.

For processors with matrix units (`sae.kernels.encode`). Shape letters: B batch, D d_in,
F latent_dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import Revival, StepSettings
from sae.architectures.compiled_products import sparse_products
from sae.architectures.linear import LinearEncoderSae
from sae.architectures.screened import encode_dead, has_many_dead, looks_below
from sae.kernels import found, matrix_units
from sae.kernels.launching import Table

BELOW = 0.06
"""Density of the latents below which this is faster than products of all (measured:
python -m benchmarks.density): 0.04 on a core with its matrix units to itself, 0.08 where another
machine keeps them busy, as on shared processors."""


@dataclass(frozen=True, slots=True)
class ListedStep:
    """One batch on its way through a model; as `CompiledStep`."""

    model: LinearEncoderSae
    table: Table
    """With the lists, and the encoder's input."""
    tokens: Tensor
    """Canonical activations [B, D]."""
    inputs: Tensor | None
    """x - b_dec [B, D], working precision, for AuxK."""
    auxk: AuxK
    """Has taken what it needs from z."""

    def backward(self, firings_F: Tensor, added_F: Tensor, row_weights_F: Tensor) -> Tensor:  # noqa: ARG002
        """As `CompiledStep.backward`."""
        model, values = self.model, {"added": added_F, "row_weights": row_weights_F}
        found = sparse_products(model, self.table, self.tokens, None, **values)
        model.backward_biases(found.sums, back_D=found.encoded_back)
        if self.inputs is not None:
            self.auxk.backward(model, self.inputs, found.output)
        return found.mse


def rectify(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
) -> tuple[ListedStep, Tensor, Tensor] | None:
    """The step with its lists, and what `CompiledStep.activate` returns.

    Args:
        model: Whose encoder is used.
        x_BD: Canonical activations.
        settings: Of the step.

    Returns:
        None where computing all is faster. This very batch says so, its first tokens or else all
        of them, so that the same command gives the same bytes, interrupted or not.
    """
    (batch, d_in), latent_dim = x_BD.shape, model.config.latent_dim
    room = int(BELOW * batch * latent_dim)
    if room == 0 or not _applies(model, x_BD, settings.revival):
        return None
    # Imported here since not every processor has the instructions that it is compiled to.
    from sae.kernels import encode

    paired_shape = encode.paired_shape(batch, d_in)
    buffer, weights = model.workspace.buffer, model.parameters
    spans, panels = -(-batch // found.SPAN), -(-latent_dim // found.PANEL)
    parts = torch.empty(spans, 2, latent_dim)
    count = buffer("found_count", 1, dtype=torch.int64).zero_()
    table = Table(half=True, batch=batch, d_in=d_in, latent_dim=latent_dim)
    table.fill(
        tokens=x_BD,
        b_dec=weights["b_dec"],
        input_rows=model.workspace.rows_buffer("inputs", x_BD),
        paired_tokens=buffer("paired_tokens", *paired_shape, dtype=torch.int32),
        encoder=model.workspace.cast_weight("W_enc", weights["W_enc"]).t(),
        bias=weights["b_enc"],
        room=room,
        found_count=count,
        found_parts=parts,
        found_by_latent=buffer("found_by_latent", room, dtype=torch.int32),
        found_by_token=buffer("found_by_token", room, dtype=torch.int32),
        lists_of_latents=buffer("lists_of_latents", spans, latent_dim, 2, dtype=torch.int64),
        lists_of_tokens=buffer("lists_of_tokens", panels, batch, 2, dtype=torch.int64),
    )
    table.run(encode.pair_tokens)
    table.run(encode.activate_product)
    if int(count) > room:
        return None
    inputs_BD, auxk = _auxk(model, x_BD, settings.revival)
    sums_F, firings_F = parts.sum(0)
    return ListedStep(model, table, x_BD, inputs_BD, auxk), firings_F, sums_F


def _applies(model: LinearEncoderSae, x_BD: Tensor, revival: Revival | None) -> bool:
    if model.workspace.dtype is not torch.bfloat16 or not matrix_units.has_matrix_units():
        return False
    side = matrix_units.SIDE
    if x_BD.shape[1] % matrix_units.STEP or model.config.latent_dim % side:
        return False
    return not has_many_dead(model, revival) and looks_below(model, x_BD, BELOW)


def _auxk(
    model: LinearEncoderSae, x_BD: Tensor, revival: Revival | None
) -> tuple[Tensor | None, AuxK]:
    """The encoder's input and z of dead latents, where there are any."""
    space, b_enc = model.workspace, model.parameters["b_enc"]
    if revival is None:
        return None, AuxK(space, x_BD, None)  # which reads no z
    inputs_BD, z_BF = model.centre(x_BD), model.latent_buffer("z", len(x_BD))
    encode_dead(model, inputs_BD, revival, z_BF)
    return inputs_BD, AuxK(space, z_BF, revival, b_enc)
