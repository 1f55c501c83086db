"""What every architecture offers to the trainer.

Shape letters: B batch, D d_in, F latent_dim.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sae.architectures.config import SaeConfig
from sae.dead_set import DeadLatents
from sae.deferred_gradient import DeferredGradient, Written
from sae.encoders import encode
from sae.huge_pages import empty, empty_like
from sae.workspace import Workspace

LATENT_AXIS = {"W_enc": 1, "W_dec": 0, "b_dec": None}
"""Which axis of a parameter counts latents; every parameter not named here is [latent_dim]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Revival:
    """Which dead latents AuxK works on, and how; see `sae.architectures.auxk`."""

    dead: DeadLatents
    """Which those are."""
    latents: int
    """k_aux: at most so many of them per token."""
    coefficient: float
    """Of the auxiliary loss."""
    pre_activation: float = 0.0
    """Coefficient of the loss that raises dead latents' negative pre-activations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSettings:
    """What the schedules and the trainer's bookkeeping say about one step."""

    alpha: float | Tensor
    """Coefficient of the penalty, canonical units; a scalar on the device in a CUDA graph."""
    target_l0: float | None = None
    """Active latents per token asked for, where the architecture is told."""
    revival: Revival | None = None
    """None where AuxK is off or no latent is dead."""
    batch_l0: Tensor | None = None
    """Active latents per token of the whole batch, where only a part of it is computed."""
    selected: Tensor | None = None
    """Flat indices of the part's latents that the whole batch selects, likewise."""


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
    """mse + alpha * penalty, and gated's auxiliary reconstruction; a scalar."""
    firings: Tensor
    """On how many tokens of the batch each latent was above zero, float32 [latent_dim]."""
    auxiliary: Tensor | float = 0.0
    """What `loss` holds beside mse + alpha * penalty: gated's reconstruction by its gate. Records
    leave it out, since the saved SAE reconstructs by its latents."""


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

    Parameters are float32, whatever precision the products use. Every gradient has its
    parameter's shape and strides (see `sae.optimizer`). W_enc is the transpose of a contiguous
    matrix, so that a latent's weights lie together as they do in W_dec.
    """

    settling_tokens: ClassVar[int] = 0
    """How many tokens `settle` wants in all."""

    def __init__(
        self, config: SaeConfig, parameters: dict[str, Tensor], workspace: Workspace
    ) -> None:
        self.config = config
        self.parameters = parameters
        self.gradients = {name: empty_like(value).zero_() for name, value in parameters.items()}
        self.writes = Written.gradients
        """How much of the matrices' gradients the next step puts together."""
        self.deferred: dict[str, DeferredGradient] = {}
        """What the last step left in parts; it stands for what `gradients` has by that name."""
        self.workspace = workspace

    @abstractmethod
    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """Overwrites `gradients` with those of the loss on one batch.

        Args:
            x_BD: Canonical activations, float32 [batch, d_in], contiguous.
            settings: The step's alpha, target and dead latents.

        Returns:
            The statistics of the forward pass.
        """

    def survey(self, parts: Sequence[Tensor], settings: StepSettings) -> list[StepSettings]:
        """What each part of a batch must be told about the whole; nothing, for most.

        Args:
            parts: The batch in parts that are computed one after another.
            settings: Of the step.

        Returns:
            The settings of every part.
        """
        return [settings] * len(parts)

    def settle(self, x_BD: Tensor, settings: StepSettings, number: int) -> None:  # noqa: B027
        """Sets what only the last weights can tell, from tokens after the last step.

        Args:
            x_BD: Canonical activations, few enough for any memory.
            settings: Of the last step.
            number: How many times it was called before.
        """

    @abstractmethod
    def inference_weights(self) -> InferenceWeights:
        """The trained weights in canonical space (mean and scale not folded)."""

    @staticmethod
    @abstractmethod
    def adapt(config: SaeConfig, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The architecture's parameters, from W_enc, W_dec, b_enc and b_dec."""

    def fresh_latents(self, count: int) -> dict[str, Tensor]:
        """Initial values of `count` latents for every parameter but b_dec; W_enc, W_dec zero."""
        d_in = len(self.parameters["b_dec"])
        device = self.workspace.device
        weights = {
            "W_enc": torch.zeros(count, d_in, device=device).t(),
            "W_dec": torch.zeros(count, d_in, device=device),
            "b_enc": torch.zeros(count, device=device),
            "b_dec": torch.zeros(d_in, device=device),
        }
        fresh = self.adapt(self.config, weights)
        del fresh["b_dec"]
        return fresh

    def token_losses(self, x_BD: Tensor) -> Tensor:
        """Squared error of each token, float32 [batch], as after training (not as in a step)."""
        saved = self.inference_weights()
        f_BF = encode(saved.architecture, x_BD, saved.tensors, saved.extra)
        x_hat_BD = f_BF @ saved.tensors["W_dec"] + saved.tensors["b_dec"]
        return (x_hat_BD - x_BD).square().sum(1)

    def renew_copies(self) -> None:
        """Brings what is kept of the weights up to date, where they changed between steps."""
        for name in LATENT_AXIS:
            if self.parameters[name].dim() == 2:
                self.workspace.cast_weight(name, self.parameters[name])

    def release(self) -> None:
        """Lets go of what a step has left in memory beside parameters and gradients."""
        self.deferred.clear()
        self.workspace.release()

    def after_update(self) -> None:
        """Restores what the optimizer may have broken; JumpReLU's thresholds, for one."""
        return

    def rate_factors(self) -> dict[str, float]:
        """What the learning rate is multiplied by, for parameters that need another."""
        return {}

    def state_tensors(self) -> dict[str, Tensor]:
        """The live tensors that a checkpoint must hold."""
        return self.parameters

    def after_restore(self, target_l0: float | None) -> None:  # noqa: ARG002
        """Takes up what a checkpoint has put into `state_tensors`.

        Args:
            target_l0: What the last step before it was told.
        """
        return


def initial_weights(
    config: SaeConfig, d_in: int, generator: torch.Generator, device: torch.device
) -> dict[str, Tensor]:
    """Initial weights: kaiming-style directions, rows of a set norm, biases zero.

    The encoder starts as a copy of the decoder's transpose, unless `tied_init` is off. Biases
    start at zero because canonical activations are centred.

    Args:
        config: Gives latent_dim, the rows' norm, and whether the encoder is tied to them.
        d_in: Size of the activations.
        generator: Source of the directions, on the CPU so that every device starts alike.
        device: Where the weights go.

    Returns:
        W_enc [d_in, latent_dim], W_dec [latent_dim, d_in], b_enc [latent_dim], b_dec [d_in].
    """

    def directions() -> Tensor:
        rows_FD = empty((config.latent_dim, d_in), torch.float32, torch.device("cpu"))
        rows_FD.uniform_(generator=generator).mul_(2).sub_(1)
        return rows_FD.mul_(config.decoder_init_norm / rows_FD.norm(dim=1, keepdim=True))

    W_dec = directions()
    W_enc = empty_like(W_dec).copy_(W_dec) if config.tied_init else directions()
    weights = {
        "W_enc": W_enc.t(),
        "W_dec": W_dec,
        "b_enc": torch.zeros(config.latent_dim),
        "b_dec": torch.zeros(d_in),
    }
    return {name: value.to(device) for name, value in weights.items()}
