"""The parts shared by all architectures here: encode, decode, and their gradients.

Shape letters: B batch, D d_in, F latent_dim, N dead latents. With z = (x - b_dec) W_enc + b_enc
and x_hat = f W_dec + b_dec, a step needs five matrix products: z, x_hat, and the gradients with
respect to W_dec, f and W_enc. The gradient with respect to x - b_dec is only needed summed over
the batch, which is a matrix-vector product.
"""

import torch
from torch import Tensor

from sae.architectures.base import InferenceWeights, TrainableSae, initial_weights
from sae.architectures.config import SaeConfig
from sae.workspace import Workspace, multiply

SMALLEST_NORM = 1e-12
"""Keeps the gradient of a row's norm finite (zero) where the row is zero, as autograd does."""


class LinearEncoderSae(TrainableSae):
    """W_enc, W_dec, b_enc and b_dec, and the products that involve them."""

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
        centred_BD = torch.sub(x_BD, weights["b_dec"], out=self.centred_buffer(x_BD))
        inputs_BD = space.cast("inputs", centred_BD)
        W_enc = space.cast_weight("W_enc", weights["W_enc"])
        z_BF = multiply(inputs_BD, W_enc, self.latent_buffer("z", len(x_BD)))
        if bias is not None:
            z_BF.add_(space.cast(bias, weights[bias]))
        return z_BF, inputs_BD

    def centred_buffer(self, x_BD: Tensor) -> Tensor:
        """Where `encode_linear` leaves x - b_dec in float32."""
        return self.workspace.buffer("centred", *x_BD.shape, dtype=torch.float32)

    def latent_buffer(self, name: str, batch: int) -> Tensor:
        """The buffer of that name, [batch, latent_dim] in the working precision."""
        return self.workspace.latents(name, batch, self.config.latent_dim)

    def reconstruction_error(self, x_BD: Tensor, f_BF: Tensor, name: str = "error") -> Tensor:
        """x_hat - x in float32, [batch, d_in], in the buffer of that name."""
        space, weights = self.workspace, self.parameters
        x_hat_BD = torch.mm(
            f_BF,
            space.cast_weight("W_dec", weights["W_dec"]),
            out=space.buffer("x_hat", *x_BD.shape),
        )
        return self.error_of(x_hat_BD, x_BD, name)

    def error_of(self, x_hat_BD: Tensor, x_BD: Tensor, name: str = "error") -> Tensor:
        """x_hat + b_dec - x in float32, in the buffer of that name."""
        space, weights = self.workspace, self.parameters
        error_BD = space.buffer(name, *x_BD.shape, dtype=torch.float32)
        torch.sub(x_hat_BD, x_BD, out=error_BD)
        return error_BD.add_(weights["b_dec"])

    def decoder_norms(self) -> Tensor:
        """||W_dec,i|| of every latent, float32 [latent_dim]."""
        return torch.linalg.vector_norm(self.parameters["W_dec"], dim=1).clamp_min_(SMALLEST_NORM)

    def backward_decoder(self, error_BD: Tensor, f_BF: Tensor) -> Tensor:
        """Sets the gradient of mean squared error for W_dec, and b_dec's part as a decoder bias.

        Args:
            error_BD: x_hat - x; overwritten.
            f_BF: The latents.

        Returns:
            The gradient with respect to x_hat, 2 (x_hat - x) / batch, in the working precision.
        """
        output_BD = self.backward_reconstruction(error_BD)
        self.workspace.product_into(self.gradients["W_dec"], f_BF.t(), output_BD)
        return output_BD

    def backward_reconstruction(self, error_BD: Tensor) -> Tensor:
        """Sets b_dec's gradient as a decoder bias; see `backward_decoder`."""
        gradient_BD = error_BD.mul_(2 / error_BD.shape[0])
        torch.sum(gradient_BD, 0, out=self.gradients["b_dec"])
        return self.workspace.cast("output_gradient", gradient_BD)

    def add_norm_gradient(self, weights_F: Tensor, norms_F: Tensor) -> None:
        """Adds the gradient of sum_i weights_i ||W_dec,i|| to W_dec's."""
        self.gradients["W_dec"].addcmul_(
            (weights_F / norms_F).unsqueeze(1), self.parameters["W_dec"]
        )

    def latent_gradient(
        self, output_BD: Tensor, added_F: Tensor | None = None, name: str = "latent_gradient"
    ) -> Tensor:
        """The gradient with respect to f, [batch, latent_dim] in the working precision.

        Args:
            output_BD: As `backward_decoder` returns it.
            added_F: A term that is the same for every token, such as alpha ||W_dec,i|| / batch.
            name: Of the buffer.
        """
        space = self.workspace
        rows_DF = space.cast_weight("W_dec", self.parameters["W_dec"]).t()
        df_BF = multiply(output_BD, rows_DF, self.latent_buffer(name, len(output_BD)))
        return df_BF if added_F is None else df_BF.add_(space.cast("added", added_F))

    def backward_encoder(
        self, inputs_BD: Tensor, dz_BF: Tensor, bias: str | None = "b_enc"
    ) -> None:
        """Sets the gradients of W_enc and its bias; adds b_dec's part as the input's centre."""
        self.workspace.product_into(self.gradients["W_enc"], inputs_BD.t(), dz_BF)
        self.backward_biases(dz_BF.sum(0, dtype=torch.float32), bias)

    def backward_biases(self, sums_F: Tensor, bias: str | None = "b_enc") -> None:
        """Sets the encoder bias's gradient and adds b_dec's part, from z's summed over tokens."""
        if bias is not None:
            self.gradients[bias].copy_(sums_F)
        self.gradients["b_dec"].sub_(self.parameters["W_enc"] @ sums_F)

    def count_firings(self, f_BF: Tensor) -> Tensor:
        """Number of tokens on which each latent is above zero, float32 [latent_dim].

        By the sign's sum: on two CPU cores at [1024, 4096] that takes 1.6 ms, where counting a
        mask takes 10 to 30 ms. The buffer is the one that `latent_gradient` fills afterwards.
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
