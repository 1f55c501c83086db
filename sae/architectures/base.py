"""What every architecture offers to the trainer, and the configuration they share.

Shape letters: B batch, D d_in, F latent_dim.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import torch
from torch import Tensor

from sae.errors import SaeError
from sae.workspace import Workspace


class Architecture(StrEnum):
    """The architectures that can be trained; the value is what the user types."""

    standard = "standard"


@dataclass(frozen=True, kw_only=True, slots=True)
class SaeConfig:
    """What is trained.

    Raises:
        SaeError: A size is not positive.
    """

    architecture: Architecture = Architecture.standard
    """Which of the files in `sae/architectures` is trained."""
    latent_dim: int = 2048
    """Number of latents (the dictionary's size)."""
    decoder_init_norm: float = 0.1
    """Norm of every decoder row at the start (SAELens and Anthropic's April 2024 recipe: 0.1)."""

    def __post_init__(self) -> None:
        if self.latent_dim <= 0:
            raise SaeError(f"sae.latent_dim must be positive, but got {self.latent_dim}.")
        if not self.decoder_init_norm > 0:
            raise SaeError(
                f"sae.decoder_init_norm must be positive, but got {self.decoder_init_norm}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepStatistics:
    """What one step's forward pass saw, as tensors on the device (nothing waits for them)."""

    mse: Tensor
    """Mean over the batch of the squared error summed over d_in; a scalar."""
    l1: Tensor
    """Mean over the batch of sum_i f_i ||W_dec,i||; a scalar."""
    penalty: Tensor
    """What alpha multiplies in the loss; a scalar (the same tensor as `l1` where that is it)."""
    loss: Tensor
    """The whole loss; a scalar."""
    firings: Tensor
    """On how many tokens of the batch each latent was above zero, float32 [latent_dim]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InferenceWeights:
    """What encodes and decodes after training, in the form that SAELens 6 loads."""

    architecture: str
    """Name of the inference architecture (batchtopk, for one, becomes jumprelu)."""
    tensors: dict[str, Tensor]
    """Float32 tensors by SAELens's names; shapes as in `TrainableSae`."""
    extra: Mapping[str, int | float | bool]
    """Further keys of cfg.json, such as k."""


class TrainableSae(ABC):
    """Parameters, their gradients, and the hand-written step that fills the gradients.

    Parameters are float32 and contiguous, whatever precision the products use. Every gradient
    has its parameter's shape and strides (see `sae.optimizer`).
    """

    penalty_name: ClassVar[str]
    """What alpha multiplies; laws of different penalties are not comparable."""

    def __init__(self, parameters: dict[str, Tensor], workspace: Workspace) -> None:
        self.parameters = parameters
        self.gradients = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.workspace = workspace

    @abstractmethod
    def compute_gradients(self, x_BD: Tensor, alpha: float) -> StepStatistics:
        """Overwrites `gradients` with those of the loss on one batch.

        Args:
            x_BD: Canonical activations, float32 [batch, d_in], contiguous.
            alpha: Coefficient of the penalty, canonical units.

        Returns:
            The statistics of the forward pass.
        """

    @abstractmethod
    def inference_weights(self) -> InferenceWeights:
        """The trained weights in canonical space (mean and scale not folded)."""


def initial_weights(
    config: SaeConfig, d_in: int, generator: torch.Generator, device: torch.device
) -> dict[str, Tensor]:
    """Tied initial weights: kaiming-style directions, rows of a set norm, biases zero.

    The encoder starts as the decoder's transpose (a contiguous copy, since the optimizer needs
    equal strides). Biases start at zero because canonical activations are centred.

    Args:
        config: Gives latent_dim and the rows' norm.
        d_in: Size of the activations.
        generator: Source of the directions, on the CPU so that every device starts alike.
        device: Where the weights go.

    Returns:
        W_enc [d_in, latent_dim], W_dec [latent_dim, d_in], b_enc [latent_dim], b_dec [d_in].
    """
    W_dec = torch.rand(config.latent_dim, d_in, generator=generator) * 2 - 1
    W_dec *= config.decoder_init_norm / W_dec.norm(dim=1, keepdim=True)
    weights = {
        "W_enc": W_dec.t().contiguous(),
        "W_dec": W_dec,
        "b_enc": torch.zeros(config.latent_dim),
        "b_dec": torch.zeros(d_in),
    }
    return {name: value.to(device) for name, value in weights.items()}
