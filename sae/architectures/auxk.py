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
from sae.kernels.launching import Table
from sae.workspace import Workspace

ROWS_AT_ONCE = 128
"""Dead latents are filled up to a multiple of this by rows of zeros: on the CPU their number
changes from step to step, and the library compiles its products anew for every shape."""


def filled_up(latents: int) -> int:
    """Rows that so many dead latents take."""
    return -(-latents // ROWS_AT_ONCE) * ROWS_AT_ONCE


class AuxK:
    """One step's auxiliary latents; does nothing where there is nothing to revive.

    All of it happens on rows of dead latents, [N, batch], as latents lie in memory: to add a
    gradient column by column would take longer than the rest of the step.
    """

    def __init__(
        self,
        space: Workspace,
        z_BF: Tensor,
        revival: Revival | None,
        bias_F: Tensor | None = None,
    ) -> None:
        """Takes what it needs from `z_BF`, before anything overwrites that.

        Args:
            space: The model's.
            z_BF: Pre-activations [batch, latent_dim].
            revival: Which latents are dead; None for none.
            bias_F: What `z_BF` still lacks, if anything.
        """
        self.revival, self.space = revival, space
        if revival is None:
            return
        listed, batch = revival.dead.listed, len(z_BF)
        count = len(listed)
        self.rows = filled_up(count)
        self.z_NB = space.buffer("dead_z", self.rows, batch)
        torch.index_select(z_BF.t(), 0, listed, out=self.z_NB[:count])
        if bias_F is not None:
            self.z_NB[:count] += bias_F[listed].to(space.dtype).unsqueeze(1)
        self._zero_others(self.z_NB)
        self.g_NB = space.buffer("dead_latents", self.rows, batch)
        if revival.latents >= count:
            torch.clamp_min(self.z_NB, 0, out=self.g_NB)
        elif space.compiled:
            _keep_strongest_compiled(self.g_NB.copy_(self.z_NB), revival.latents)
        elif space.fused:
            keep_strongest_fused(self.z_NB, revival.latents, self.g_NB)
        else:
            keep_strongest(self.z_NB, revival.latents, self.g_NB)

    def _zero_others(self, rows: Tensor) -> None:
        """Zeroes the rows [N, ...] that are no dead latent's."""
        if self.revival is None:
            return
        dead = self.revival.dead
        rows[len(dead.listed) :] = 0
        if dead.are_dead is not None:
            rows[: len(dead.listed)].masked_fill_(~dead.are_dead.unsqueeze(1), 0)

    def backward(
        self,
        model: LinearEncoderSae,
        inputs_BD: Tensor,
        output_BD: Tensor,
        bias: str = "b_enc",
    ) -> None:
        """Adds the auxiliary loss's gradients to those of the weights and biases.

        Args:
            model: Whose weights are used, and whose gradients are added to.
            inputs_BD: x - b_dec, as `LinearEncoderSae.encode_linear` returns it.
            output_BD: 2 (x_hat - x) / batch, as `LinearEncoderSae.backward_decoder` returns it.
            bias: Name of the bias in the pre-activations.
        """
        if self.revival is None:
            return
        space, dead_N, batch = self.space, self.revival.dead.listed, len(output_BD)
        count = len(dead_N)
        rows_ND = space.buffer("dead_rows", self.rows, output_BD.shape[1])
        rows_ND[:count] = model.parameters["W_dec"][dead_N]
        self._zero_others(rows_ND)
        gradient_BD = space.buffer("dead_output_gradient", *output_BD.shape)
        torch.mm(self.g_NB.t(), rows_ND, out=gradient_BD)  # e_hat
        # d loss_aux / d e_hat = 2 (e_hat - e) coefficient / batch, where e = x - x_hat.
        gradient_BD.mul_(2 / batch).add_(output_BD).mul_(self.revival.coefficient)
        dz_NB = torch.mm(
            rows_ND, gradient_BD.t(), out=space.buffer("dead_gradient", self.rows, batch)
        )
        push_N = rows_ND.norm(dim=1, dtype=torch.float32)
        push_N *= self.revival.pre_activation / batch
        sums_N = (self._mask_compiled if space.compiled else self._mask)(dz_NB, push_N)[:count]
        along_N = None
        if model.has_row_part:
            along_N = (self.g_NB * dz_NB).sum(1, dtype=torch.float32)
        gradients, W_enc = model.gradients, model.parameters["W_enc"]
        model.add_product("W_dec", dead_N, self.g_NB, gradient_BD, along_N)
        model.add_product("W_enc", dead_N, dz_NB, inputs_BD)
        gradients[bias].index_add_(0, dead_N, sums_N)
        gradients["b_dec"].sub_(sums_N @ W_enc.t()[dead_N])

    def _mask(self, dz_NB: Tensor, push_N: Tensor) -> Tensor:
        """Completes z's gradient.

        Args:
            dz_NB: As it were if all latents were on; overwritten.
            push_N: What raises a latent on tokens where z is negative.

        Returns:
            Its sum over tokens, float32.
        """
        keep_where_positive(dz_NB, self.g_NB)
        dz_NB -= (self.z_NB < 0) * push_N.to(dz_NB.dtype).unsqueeze(1)
        return dz_NB.sum(1, dtype=torch.float32)

    def _mask_compiled(self, dz_NB: Tensor, push_N: Tensor) -> Tensor:
        """As `_mask`."""
        # Imported here since it needs numba.
        from sae.kernels import revival

        sums_N = torch.empty_like(push_N)
        _table(dz_NB).run(
            revival.mask_dead,
            latents=self.g_NB,
            pre_activations=self.z_NB,
            latent_gradient=dz_NB,
            added=push_N,
            gradient_sums=sums_N,
        )
        return sums_N


def keep_strongest(z_NB: Tensor, count: int, out_NB: Tensor) -> None:
    """Writes z where it is positive and among the `count` largest of its token, else zero."""
    top = torch.topk(z_NB, count, dim=0, sorted=False)
    out_NB.zero_().scatter_(0, top.indices, top.values).relu_()


def keep_strongest_fused(z_NB: Tensor, count: int, out_NB: Tensor) -> None:
    """As `keep_strongest`, equals included, in one pass where a GPU's registers hold a token."""
    # Imported here since it needs Triton.
    from sae.gpu_kernels import strongest

    if len(z_NB) > strongest.MOST_LATENTS:
        keep_strongest(z_NB, count, out_NB)
    else:
        strongest.keep_strongest(z_NB, count, out_NB)


def _keep_strongest_compiled(z_NB: Tensor, count: int) -> None:
    """Zeroes z where it is not positive or not among the `count` largest of its token."""
    from sae.kernels.strongest import keep_of_tokens

    latents = len(z_NB)
    keep_of_tokens(_table(z_NB), z_NB, torch.zeros(latents), torch.ones(latents), count)


def _table(latents_NB: Tensor) -> Table:
    rows, batch = latents_NB.shape
    is_half = latents_NB.dtype is torch.bfloat16
    return Table(half=is_half, batch=batch, d_in=1, latent_dim=rows)
