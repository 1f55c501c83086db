"""AuxK: dead latents learn to reconstruct what the living ones leave over.

Equations (Gao et al. 2024, arXiv 2406.04093, section 2.4, there for TopK): with e = x - x_hat
held constant, z the pre-activations and D the dead latents,

    g = relu(z) on the k_aux largest z in D, else 0;   e_hat = g W_dec
    loss_aux = coefficient * mean_b sum_d (e - e_hat)^2

The same for every architecture, since only pre-activations and the decoder enter. A latent whose
z is negative on every token gets no gradient from it; the pre-activation loss (Anthropic, January
2025) raises those, where it is asked for:

    loss_pre = pre_activation * mean_b sum_{i in D} relu(-z_i) bar(||W_dec,i||)

Shape letters: B batch, D d_in, F latent_dim, N dead latents.
"""

import torch
from torch import Tensor

from sae.architectures.base import Revival
from sae.architectures.linear import LinearEncoderSae, keep_where_positive


class AuxK:
    """One step's auxiliary latents; does nothing where there is nothing to revive."""

    def __init__(self, z_BF: Tensor, revival: Revival | None) -> None:
        """Takes what it needs from `z_BF`, before anything overwrites that.

        Args:
            z_BF: Pre-activations [batch, latent_dim].
            revival: Which latents are dead; None for none.
        """
        self.revival = revival
        if revival is None:
            return
        z_BN = z_BF.index_select(1, revival.dead)
        self.negative_BN = z_BN < 0
        if revival.latents < z_BN.shape[1]:
            top = torch.topk(z_BN, revival.latents, dim=1, sorted=False)
            z_BN = torch.zeros_like(z_BN).scatter_(1, top.indices, top.values)
        self.g_BN = z_BN.relu_()

    def backward(self, model: LinearEncoderSae, output_BD: Tensor, dz_BF: Tensor) -> None:
        """Adds the auxiliary loss's gradients to W_dec's and to that of the pre-activations.

        Args:
            model: Whose W_dec and gradient are used.
            output_BD: 2 (x_hat - x) / batch, as `LinearEncoderSae.backward_decoder` returns it.
            dz_BF: Gradient with respect to z; the dead latents' columns are added to.
        """
        if self.revival is None:
            return
        dead_N = self.revival.dead
        rows_ND = model.workspace.cast("W_dec", model.parameters["W_dec"])[dead_N]
        e_hat_BD = self.g_BN @ rows_ND
        # d loss_aux / d e_hat = 2 (e_hat - e) coefficient / batch, where e = x - x_hat.
        gradient_BD = output_BD.add(e_hat_BD, alpha=2 / len(output_BD))
        gradient_BD.mul_(self.revival.coefficient)
        decoder_ND = (self.g_BN.t() @ gradient_BD).float()
        model.gradients["W_dec"].index_add_(0, dead_N, decoder_ND)
        latent_BN = keep_where_positive(gradient_BD @ rows_ND.t(), self.g_BN)
        if self.revival.pre_activation:
            push_N = rows_ND.norm(dim=1) * (self.revival.pre_activation / len(output_BD))
            latent_BN.sub_(self.negative_BN * push_N)
        dz_BF.index_add_(1, dead_N, latent_BN)
