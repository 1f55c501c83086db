"""Gated's step with compiled loops; the equations of `sae.architectures.gated`.

The products are dense: the loops spare the passes between them. Shape letters: B batch, D d_in,
F latent_dim.
"""

import torch
from torch import Tensor

from sae.architectures.auxk import AuxK
from sae.architectures.base import StepSettings, StepStatistics
from sae.architectures.compiled import table_of
from sae.architectures.linear import LinearEncoderSae
from sae.kernels import gated


def compiled_gradients(
    model: LinearEncoderSae, x_BD: Tensor, settings: StepSettings
) -> StepStatistics:
    """Sets the gradients; see `TrainableSae.compute_gradients`."""
    batch, alpha, weights = len(x_BD), settings.alpha, model.parameters
    p_BF, inputs_BD = model.encode_linear(x_BD, bias=None)
    auxk = AuxK(model.workspace, p_BF, settings.revival, weights["b_gate"])
    f_BF, gate_BF = model.latent_buffer("f", batch), model.latent_buffer("gate", batch)
    gain_F = weights["r_mag"].exp()
    sums_F3 = torch.empty(model.config.latent_dim, 3)
    table = table_of(model, x_BD)
    given = {"pre_activations": p_BF.t(), "latents": f_BF.t(), "gates": gate_BF.t()}
    given["path_biases"] = torch.stack([weights["b_gate"], gain_F, weights["b_mag"]], 1)
    table.run(gated.open_gates, **given, path_sums=sums_F3)
    firings_F, f_F, gate_F = sums_F3.clone().unbind(1)
    l1, penalty = f_F.sum() / batch, gate_F.sum() / batch
    error_BD = model.reconstruction_error(x_BD, f_BF)
    gate_error_BD = model.reconstruction_error(x_BD, gate_BF, "gate_error")
    mse, gate_mse = (error.square().sum() / batch for error in (error_BD, gate_error_BD))

    output_BD = model.backward_decoder(error_BD, f_BF)
    gate_output_BD = model.workspace.cast("gate_output", gate_error_BD.mul_(2 / batch))
    dp_BF = model.latent_gradient(gate_output_BD, name="gate_gradient")
    table.run(
        gated.join_paths,
        **given,
        latent_gradient=model.latent_gradient(output_BD).t(),
        gate_gradient=dp_BF.t(),
        added=torch.ones_like(gain_F) * (alpha / batch),
        path_sums=sums_F3,
    )
    _set_path_gradients(model, sums_F3, gain_F)
    model.workspace.product_into(model.gradients["W_enc"], inputs_BD.t(), dp_BF)
    model.backward_biases(sums_F3[:, 0] + gain_F * sums_F3[:, 1], bias=None)
    auxk.backward(model, inputs_BD, output_BD, bias="b_gate")
    loss = mse + alpha * penalty + gate_mse
    return StepStatistics(mse=mse, l1=l1, penalty=penalty, loss=loss, firings=firings_F)


def _set_path_gradients(model: LinearEncoderSae, sums_F3: Tensor, gain_F: Tensor) -> None:
    """Sets the gradients of b_gate, b_mag and r_mag from what `join_paths` summed."""
    model.gradients["b_gate"].copy_(sums_F3[:, 0])
    model.gradients["b_mag"].copy_(sums_F3[:, 1])
    torch.mul(sums_F3[:, 2], gain_F, out=model.gradients["r_mag"])
