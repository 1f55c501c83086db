"""What a training run is asked for, and what it answers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sae.activations import ActivationStore
from sae.architectures.config import SaeConfig
from sae.request_checks import check_request
from sae.trainer_config import TrainerConfig

NOT_IN_THE_WEIGHTS = (
    "log_every",
    "checkpoint_every",
    "checkpoint_share",
    "tracker",
    "stop_early",
    "cuda_graph",
)
"""Trainer settings that change what is seen of a run, not what it computes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRequest:
    """One SAE to train.

    Raises:
        SaeError: alpha or the target is out of its range, or settings contradict one another.
    """

    sae: SaeConfig
    """What is trained."""
    trainer: TrainerConfig
    """How it is trained."""
    alpha_canonical: float
    """Coefficient of the penalty in canonical units; 0 where k sets L0. With a controller, where
    alpha starts."""
    target_l0_count: float | None = None
    """Active latents asked for, as a count; None where only alpha is given."""
    seed: int = 0
    """Seed of everything random in the run."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:<index> or mps."""

    def __post_init__(self) -> None:
        check_request(self.sae, self.trainer, self.alpha_canonical, self.target_l0_count)

    def identity(self, store: ActivationStore) -> str:
        """Hash of all that determines the trained weights, the device aside."""
        content = self.identity_content(store)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def identity_content(self, store: ActivationStore) -> dict[str, Any]:
        """What `identity` is the hash of; plain JSON."""
        content = asdict(self)
        del content["device"]
        for name in NOT_IN_THE_WEIGHTS:
            del content["trainer"][name]
        content["activations"] = store.fingerprint
        return content


class TrainingState(StrEnum):
    """How a run ended."""

    complete = "complete"
    diverged = "diverged"
    interrupted = "interrupted"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """How a run went; what was not measured, because it did not complete, is None.

    Losses and sparsity are held-out, in canonical units, in float32, from the saved weights.
    """

    state: TrainingState
    """How the run ended."""
    stop_reason: str | None
    """Why it did not complete, in words."""
    steps_done: int
    """Steps of the whole run, earlier attempts included."""
    tokens: int
    """Training tokens seen."""
    wall_s: float
    """Seconds, earlier attempts and evaluation included."""
    device: str
    """Where it ran."""
    alpha_canonical: float
    """Coefficient of the penalty in canonical units."""
    micro_batch: int | None = None
    """Tokens computed at once; below the batch's size where memory was short."""
    resampled: int | None = None
    """Dead latents replaced over the run, each as often as it was."""
    l0: float | None = None
    """See `sae.evaluation.HeldOutMetrics`, as down to held_out_tokens."""
    l0_se: float | None = None
    """Standard error of `l0`; None with fewer than two held-out documents."""
    fvu: float | None = None
    """Fraction of variance unexplained."""
    mse: float | None = None
    """Squared error summed over d_in, mean per token."""
    l1: float | None = None
    """sum_i f_i ||W_dec,i||, mean per token."""
    loss: float | None = None
    """mse + alpha * penalty."""
    dead_fraction: float | None = None
    """Part of the latents that fired on none of the held-out tokens."""
    alive: int | None = None
    """Latents that fired on them."""
    held_out_tokens: int | None = None
    """How many they were."""
    density: Mapping[str, int] | None = None
    """Latents by how often they fire on held-out tokens."""
    decoder_cosine: float | None = None
    """Mean over latents of the largest cosine of its decoder row with another."""
    dictionary_cosine: float | None = None
    """Synthetic activations: mean over the true features of the largest cosine with a row."""
    dictionary_recall: float | None = None
    """Synthetic activations: part of the true features with a cosine of at least 0.9."""
    dead_fraction_window: float | None = None
    """Part of the latents that fired on none of the last training tokens."""
    converged: bool | None = None
    """Whether training L0 changed by less than 5 % over the last 5 % of the steps."""
    loss_change: float | None = None
    """Relative change of the training loss over the last 10 % of the steps."""
    loss_oscillation: float | None = None
    """Spread of the training loss about a straight line over the last 10 %, relative to it."""
    threshold_travel: float | None = None
    """JumpReLU: how far its thresholds moved, over the sum of their learning rates."""
