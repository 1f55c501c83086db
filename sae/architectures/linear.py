"""The parts shared by all architectures here: encode, decode, and their gradients.

Shape letters: B batch, D d_in, F latent_dim, N dead latents. With z = (x - b_dec) W_enc + b_enc
and x_hat = f W_dec + b_dec, a step needs five matrix products: z, x_hat, and the gradients with
respect to W_dec, f and W_enc. The gradient with respect to x - b_dec is only needed summed over
the batch, which is a matrix-vector product.
"""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from sae.architectures.base import InferenceWeights, TrainableSae, initial_weights
from sae.architectures.config import SaeConfig
from sae.deferred_gradient import DeferredGradient, RowPart, Written
from sae.derived import norms_of
from sae.workspace import Workspace, multiply

SMALLEST_NORM = 1e-12
"""Keeps the gradient of a row's norm finite (zero) where the row is zero, as autograd does."""


class LinearEncoderSae(TrainableSae):
    """W_enc, W_dec, b_enc and b_dec, and the products that involve them."""

    norms_outlive_updates: ClassVar[bool] = True
    """Whether steps read the norms that the update before left."""

    def __init__(
        self, config: SaeConfig, d_in: int, generator: torch.Generator, workspace: Workspace
    ) -> None:
        weights = initial_weights(config, d_in, generator, workspace.device)
        super().__init__(config, self.adapt(config, weights), workspace)

    @staticmethod
    def adapt(config: SaeConfig, weights: dict[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG004
        """The four as they are; architectures with other parameters override this."""
        return weights

    def encode_linear(self, x_BD: Tensor, bias: str | None = "b_enc") -> tuple[Tensor, Tensor]:
        """The pre-activations, and the input they were computed from.

        Args:
            x_BD: Canonical activations.
            bias: Name of the bias to add, if any.

        Returns:
            z [batch, latent_dim] and x - b_dec [batch, d_in], both in the working precision.
        """
        space, weights = self.workspace, self.parameters
        inputs_BD = self.centre(x_BD)
        W_enc = space.cast_weight("W_enc", weights["W_enc"])
        z_BF = multiply(inputs_BD, W_enc, self.latent_buffer("z", len(x_BD)))
        if bias is not None:
            z_BF.add_(space.cast(bias, weights[bias]))
        return z_BF, inputs_BD

    def centre(self, x_BD: Tensor) -> Tensor:
        """The encoder's input, x - b_dec, in the working precision."""
        centred_BD = torch.sub(x_BD, self.parameters["b_dec"], out=self.centred_buffer(x_BD))
        return self.workspace.cast("inputs", centred_BD)

    def centred_buffer(self, x_BD: Tensor) -> Tensor:
        """Where `centre` leaves x - b_dec in float32."""
        return self.workspace.buffer("centred", *x_BD.shape, dtype=torch.float32)

    def latent_buffer(self, name: str, batch: int) -> Tensor:
        """The buffer of that name, [batch, latent_dim] in the working precision."""
        return self.workspace.latents(name, batch, self.config.latent_dim)

    def reconstruction_error(self, x_BD: Tensor, f_BF: Tensor, name: str = "error") -> Tensor:
        """x_hat - x in float32, [batch, d_in], in the buffer of that name."""
        return self.error_of(self.decode_linear(f_BF), x_BD, name)

    def decode_linear(self, f_BF: Tensor) -> Tensor:
        """x_hat without b_dec, [batch, d_in] in the working precision."""
        space, W_dec = self.workspace, self.parameters["W_dec"]
        x_hat_BD = space.buffer("x_hat", len(f_BF), W_dec.shape[1])
        return torch.mm(f_BF, space.cast_weight("W_dec", W_dec), out=x_hat_BD)

    def error_of(self, x_hat_BD: Tensor, x_BD: Tensor, name: str = "error") -> Tensor:
        """x_hat + b_dec - x in float32, in the buffer of that name."""
        space, weights = self.workspace, self.parameters
        error_BD = space.buffer(name, *x_BD.shape, dtype=torch.float32)
        torch.sub(x_hat_BD, x_BD, out=error_BD)
        return error_BD.add_(weights["b_dec"])

    def decoder_norms(self) -> Tensor:
        """||W_dec,i|| of every latent, float32 [latent_dim], until the weights change."""
        space, W_dec, name = self.workspace, self.parameters["W_dec"], norms_of("W_dec")
        norms_F = space.derived.get(name, W_dec)
        if norms_F is None:
            norms_F = torch.linalg.vector_norm(W_dec, dim=1, out=self._norms_buffer())
            if space.renews_copies:
                space.derived.keep(name, norms_F, W_dec)
        return norms_F.clamp_min_(SMALLEST_NORM)

    def _norms_buffer(self) -> Tensor:
        return self.workspace.buffer(
            norms_of("W_dec"), self.config.latent_dim, dtype=torch.float32
        )

    def state_tensors(self) -> dict[str, Tensor]:
        """The parameters; where kernels of our own sum the norms, in their order, those too."""
        if not (self.workspace.renews_copies and self.norms_outlive_updates):
            return self.parameters
        return self.parameters | {norms_of("W_dec"): self.decoder_norms()}

    def after_restore(self, target_l0: float | None) -> None:  # noqa: ARG002
        """The norms are those of the weights, unless the checkpoint was another device's."""
        if not (self.workspace.renews_copies and self.norms_outlive_updates):
            return
        W_dec, norms_F = self.parameters["W_dec"], self._norms_buffer()
        found_F = torch.linalg.vector_norm(W_dec, dim=1).clamp_min_(SMALLEST_NORM)
        if not torch.allclose(norms_F, found_F):
            norms_F.copy_(found_F)
        self.workspace.derived.keep(norms_of("W_dec"), norms_F, W_dec)

    def renew_copies(self) -> None:
        """The norms too."""
        super().renew_copies()
        if self.norms_outlive_updates:
            self.decoder_norms()

    def rectify(self, z_BF: Tensor, bias: str = "b_enc") -> tuple[Tensor, Tensor]:
        """Turns pre-activations without their bias into f = relu(z + bias), in place.

        Returns:
            On how many tokens each latent is above zero, and its sum over them, float32
            [latent_dim].
        """
        space, bias_F = self.workspace, self.parameters[bias]
        if space.fused:
            # Imported here since it needs Triton.
            from sae.gpu_kernels import latents

            return latents.rectify(z_BF.t(), bias_F)
        f_BF = z_BF.add_(space.cast(bias, bias_F)).relu_()
        return self.count_firings(f_BF), f_BF.sum(0, dtype=torch.float32)

    def mask(
        self, df_BF: Tensor, f_BF: Tensor, added: Tensor | float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Turns the gradient of latents into that of what they are the positive part of, in place.

        Args:
            df_BF: The gradient with respect to f, working precision; overwritten.
            f_BF: The latents.
            added: What the gradient has besides where f is on, [latent_dim] or a scalar.

        Returns:
            The gradient; its sum over tokens, float32 [latent_dim]; where there are Triton
            kernels, also f times its gradient without what is added, summed over tokens.
        """
        if self.workspace.fused:
            # Imported here since it needs Triton.
            from sae.gpu_kernels import latents

            added_F = torch.zeros(f_BF.shape[1], device=f_BF.device).add_(added)
            sums_F, products_F = latents.mask(df_BF.t(), f_BF.t(), added_F)
            return df_BF, sums_F, products_F
        if isinstance(added, Tensor) and added.dim() > 0:
            df_BF.add_(self.workspace.cast("added", added))
        elif isinstance(added, Tensor):  # which torch would round to df's precision first
            df_BF.copy_(df_BF.float().add_(added))
        elif added != 0.0:
            df_BF.add_(added)
        dz_BF = keep_where_positive(df_BF, f_BF)
        return dz_BF, dz_BF.sum(0, dtype=torch.float32), None

    def backward_decoder(self, error_BD: Tensor, f_BF: Tensor) -> Tensor:
        """Sets the gradient of mean squared error for W_dec, and b_dec's part as a decoder bias.

        Args:
            error_BD: x_hat - x; overwritten.
            f_BF: The latents.

        Returns:
            The gradient with respect to x_hat, 2 (x_hat - x) / batch, in the working precision.
        """
        output_BD = self.backward_reconstruction(error_BD)
        self.set_product("W_dec", f_BF.t(), output_BD)
        return output_BD

    def set_product(self, name: str, left_FB: Tensor, right_BD: Tensor) -> None:
        """Sets the gradient of a matrix, as rows of latents, to a product; or leaves its parts.

        Args:
            name: W_enc or W_dec.
            left_FB: Of latents, working precision; must stay as it is until the update.
            right_BD: Of activations, likewise.
        """
        self.deferred.pop(name, None)
        written_FD = None
        if self.writes is not Written.nothing:
            written_FD = self._gradient_rows(name)
            self.workspace.product_into(written_FD, left_FB, right_BD)
        if self.writes is not Written.gradients:
            self.deferred[name] = DeferredGradient(
                left=left_FB, right=right_BD, written=written_FD
            )

    def add_product(
        self,
        name: str,
        rows_N: Tensor,
        left_NB: Tensor,
        right_BD: Tensor,
        along_N: Tensor | None = None,
    ) -> None:
        """Adds a product to some rows of what `set_product` has set.

        Args:
            name: W_enc or W_dec.
            rows_N: Which latents' rows, all different.
            left_NB: Of those latents, working precision; rows beyond `rows_N` are left out.
            right_BD: Of activations, likewise; must stay as it is until the update.
            along_N: How far each row of the product goes along that of W_dec, float32; needed
                where the norms' gradient is left in parts.
        """
        found, count = self.deferred.get(name), len(rows_N)
        if found is None:
            product_ND = (left_NB @ right_BD)[:count].float()
            self._gradient_rows(name).index_add_(0, rows_N, product_ND)
            return
        if found.row_part is not None:
            if along_N is None:
                raise ValueError("along_N must be given where the norms' gradient is in parts.")
            found.row_part.along.index_add_(0, rows_N, along_N[:count])
        self.deferred[name] = found.with_added(rows_N, left_NB[:count], right_BD)

    def _gradient_rows(self, name: str) -> Tensor:
        """A matrix's gradient as rows of latents, [latent_dim, d_in]."""
        gradient = self.gradients[name]
        return gradient if name == "W_dec" else gradient.t()

    def backward_reconstruction(self, error_BD: Tensor) -> Tensor:
        """Sets b_dec's gradient as a decoder bias; see `backward_decoder`."""
        gradient_BD = error_BD.mul_(2 / error_BD.shape[0])
        torch.sum(gradient_BD, 0, out=self.gradients["b_dec"])
        return self.workspace.cast("output_gradient", gradient_BD)

    def add_norm_gradient(
        self, weights_F: Tensor, norms_F: Tensor, along_F: Tensor | None
    ) -> None:
        """Adds the gradient of sum_i weights_i ||W_dec,i|| to W_dec's.

        Args:
            weights_F: The norms' weights.
            norms_F: The norms.
            along_F: f times the error's gradient with respect to f, summed over tokens; needed
                where the gradient is left in parts.
        """
        row_weights_F, found = weights_F / norms_F, self.deferred.get("W_dec")
        if found is None:
            W_dec = self.parameters["W_dec"]
            self.gradients["W_dec"].addcmul_(row_weights_F.unsqueeze(1), W_dec)
        elif along_F is None:
            raise ValueError("along_F must be given where W_dec's gradient is left in parts.")
        else:
            part = RowPart(weights=row_weights_F, along=along_F, norms=norms_F)
            self.deferred["W_dec"] = replace(found, row_part=part)

    @property
    def has_row_part(self) -> bool:
        """Whether this step leaves the norms' gradient in parts."""
        found = self.deferred.get("W_dec")
        return found is not None and found.row_part is not None

    def latent_gradient(self, output_BD: Tensor, name: str = "latent_gradient") -> Tensor:
        """The gradient with respect to f, [batch, latent_dim] in the working precision.

        Args:
            output_BD: As `backward_decoder` returns it.
            name: Of the buffer.
        """
        space = self.workspace
        rows_DF = space.cast_weight("W_dec", self.parameters["W_dec"]).t()
        return multiply(output_BD, rows_DF, self.latent_buffer(name, len(output_BD)))

    def backward_encoder(
        self, inputs_BD: Tensor, dz_BF: Tensor, sums_F: Tensor, bias: str | None = "b_enc"
    ) -> None:
        """Sets the gradients of W_enc and its bias; adds b_dec's part as the input's centre.

        Args:
            inputs_BD: x - b_dec.
            dz_BF: The gradient of the pre-activations.
            sums_F: The same summed over tokens, float32.
            bias: Name of the bias, if any.
        """
        self.set_product("W_enc", dz_BF.t(), inputs_BD)
        self.backward_biases(sums_F, bias)

    def backward_biases(
        self, sums_F: Tensor, bias: str | None = "b_enc", back_D: Tensor | None = None
    ) -> None:
        """Sets the encoder bias's gradient and adds b_dec's part.

        Args:
            sums_F: The gradient of z summed over tokens, float32.
            bias: Name of the bias, if any.
            back_D: W_enc @ sums, where it is known.
        """
        if bias is not None:
            self.gradients[bias].copy_(sums_F)
        self.gradients["b_dec"].sub_(self._encode_back(sums_F) if back_D is None else back_D)

    def _encode_back(self, sums_F: Tensor) -> Tensor:
        """W_enc @ sums, float32 [d_in]."""
        space, W_enc = self.workspace, self.parameters["W_enc"]
        # Imported here since they need numba or Triton.
        if space.compiled:
            from sae.kernels.weighted_sum import weighted_row_sum
        elif space.fused:
            from sae.gpu_kernels.latents import weighted_row_sum
        else:
            return W_enc @ sums_F
        return weighted_row_sum(space.cast_weight("W_enc", W_enc).t(), sums_F)

    def count_firings(self, f_BF: Tensor) -> Tensor:
        """Number of tokens on which each latent is above zero, float32 [latent_dim].

        By the sign's sum, since on a CPU counting a mask takes several times as long. The buffer
        is the one that `latent_gradient` fills afterwards.
        """
        sign_BF = torch.sign(f_BF, out=self.latent_buffer("latent_gradient", len(f_BF)))
        return sign_BF.sum(0, dtype=torch.float32)

    def inference_weights(self) -> InferenceWeights:
        """The four weights as SAELens's standard architecture has them."""
        tensors = {name: value.detach().clone() for name, value in self.parameters.items()}
        return InferenceWeights(architecture="standard", tensors=tensors, extra={})


def keep_where_positive(gradient_BF: Tensor, f_BF: Tensor) -> Tensor:
    """Zeroes `gradient_BF` where f is not above zero: relu's gradient, in place, in one pass."""
    return torch.ops.aten.threshold_backward.grad_input(
        gradient_BF, f_BF, 0, grad_input=gradient_BF
    )
