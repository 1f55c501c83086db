"""Gated's step with compiled loops; the equations of `sae.architectures.gated`.

Shape letters: B batch, D d_in, F latent_dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.compiled import is_faster_sparse, table_of
from sae.architectures.compiled_products import (
    input_rows,
    reconstruct_sparse,
    weight_gradients_sparse,
)
from sae.architectures.linear import LinearEncoderSae
from sae.kernels import gated
from sae.kernels.launching import Table


@dataclass(frozen=True, slots=True)
class _Paths:
    """One batch on its way through both paths."""

    model: LinearEncoderSae
    table: Table
    tokens: Tensor
    """Canonical activations [B, D]."""
    inputs: Tensor
    """x - b_dec [B, D], working precision."""
    latents: Tensor
    """f [B, F], working precision."""
    gates: Tensor
    """relu(gate), likewise."""


@dataclass(frozen=True, slots=True)
class _Backward:
    """What the products after the encoder's give beside the weights' gradients."""

    mse: Tensor
    gate_mse: Tensor
    output: Tensor
    """The gradient of x_hat [B, D]."""
    sums: Tensor
    """[F, 3], see `sae.kernels.gated.join_row`."""


def compiled_gradients(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
) -> StepStatistics:
    """Sets the gradients; see `TrainableSae.compute_gradients`."""
    batch, alpha, weights = len(x_BD), settings.alpha, model.parameters
    p_BF, inputs_BD = model.encode_linear(x_BD, bias=None)
    auxk = AuxK(model.workspace, p_BF, settings.revival, weights["b_gate"])
    f_BF, gate_BF = model.latent_buffer("f", batch), model.latent_buffer("gate", batch)
    gain_F, table = weights["r_mag"].exp(), table_of(model, x_BD)
    sums_F3, opened_F = torch.empty(len(gain_F), 3), torch.empty_like(gain_F)
    table.fill(
        pre_activations=p_BF.t(),
        latents=f_BF.t(),
        gates=gate_BF.t(),
        path_biases=torch.stack([weights["b_gate"], gain_F, weights["b_mag"]], 1),
    )
    table.run(gated.open_gates, path_sums=sums_F3, firings=opened_F)
    firings_F, f_F, gate_F = sums_F3.unbind(1)
    l1, penalty = f_F.sum() / batch, gate_F.sum() / batch

    products = _sparse_products if is_faster_sparse(model, opened_F, x_BD) else _dense_products
    paths = _Paths(model, table, x_BD, inputs_BD, f_BF, gate_BF)
    found = products(paths, torch.ones_like(gain_F) * (alpha / batch))
    _set_path_gradients(model, found.sums, gain_F)
    model.backward_biases(found.sums[:, 0] + gain_F * found.sums[:, 1], bias=None)
    auxk.backward(model, inputs_BD, found.output, bias="b_gate")
    loss = found.mse + alpha * penalty + found.gate_mse
    return StepStatistics(
        mse=found.mse,
        l1=l1,
        penalty=penalty,
        loss=loss,
        firings=firings_F,
        auxiliary=found.gate_mse,
    )


def _dense_products(paths: _Paths, added_F: Tensor) -> _Backward:
    """Sets the weights' gradients; `added_F` is what the penalty adds to the gates'."""
    model, x_BD = paths.model, paths.tokens
    error_BD = model.reconstruction_error(x_BD, paths.latents)
    gate_error_BD = model.reconstruction_error(x_BD, paths.gates, "gate_error")
    mse, gate_mse = (error.square().sum() / len(x_BD) for error in (error_BD, gate_error_BD))
    output_BD = model.backward_decoder(error_BD, paths.latents)
    gate_output_BD = model.workspace.cast("gate_output", gate_error_BD.mul_(2 / len(x_BD)))
    dp_BF = model.latent_gradient(gate_output_BD, name="gate_gradient")
    sums_F3 = torch.empty(len(added_F), 3)
    paths.table.run(
        gated.join_paths,
        latent_gradient=model.latent_gradient(output_BD).t(),
        gate_gradient=dp_BF.t(),
        added=added_F,
        path_sums=sums_F3,
    )
    model.workspace.product_into(model.gradients["W_enc"], paths.inputs.t(), dp_BF)
    return _Backward(mse, gate_mse, output_BD, sums_F3)


def _sparse_products(paths: _Paths, added_F: Tensor) -> _Backward:
    """As `_dense_products`, from the tokens with an open gate."""
    model, table, x_BD = paths.model, paths.table, paths.tokens
    table.fill(latents=paths.gates.t())
    gate = reconstruct_sparse(model, table, x_BD, "gate output")
    table.fill(latents=paths.latents.t())
    found = reconstruct_sparse(model, table, x_BD)
    torch.sum(found.sums, 0, out=model.gradients["b_dec"])
    sums_F3 = torch.empty(len(added_F), 3)
    weight_gradients_sparse(
        model,
        table,
        gated.backward_paths,
        input_rows=input_rows(model, x_BD),
        output_rows=found.rows,
        gate_rows=gate.rows,
        added=added_F,
        path_sums=sums_F3,
    )
    return _Backward(found.mse, gate.mse, found.output, sums_F3)


def _set_path_gradients(model: LinearEncoderSae, sums_F3: Tensor, gain_F: Tensor) -> None:
    """Sets the gradients of b_gate, b_mag and r_mag from what `join_paths` summed."""
    model.gradients["b_gate"].copy_(sums_F3[:, 0])
    model.gradients["b_mag"].copy_(sums_F3[:, 1])
    torch.mul(sums_F3[:, 2], gain_F, out=model.gradients["r_mag"])
