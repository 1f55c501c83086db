"""How an SAE is trained."""

from dataclasses import dataclass
from enum import StrEnum

from sae.errors import SaeError


class Precision(StrEnum):
    """In what the matrix products run; weights, sums and losses are float32 in every case."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerConfig:
    """The recipe. An alpha belongs to its recipe: see `learning_rate` times `total_steps`.

    Lengths given as a number below 1 are fractions of `total_steps`, from 1 on steps.

    Raises:
        SaeError: A value is out of its range.
    """

    learning_rate: float = 1e-3
    """Adam's step size after the warm-up."""
    batch_size: int = 512
    """Tokens in a step."""
    total_steps: int = 600
    """Steps of the run."""
    learning_rate_warmup: float = 100
    """Linear warm-up of the learning rate; at most a sixth of the run."""
    alpha_warmup: float = 200
    """Linear warm-up of alpha; at most a third of the run."""
    decay_fraction: float = 0.2
    """Last part of the run in which the learning rate falls linearly to zero."""
    precision: Precision = Precision.auto
    """auto: bf16 where the processor multiplies it natively, otherwise fp32."""
    log_every: int = 10
    """Steps between two rows of history.csv."""
    held_out_tokens: int = 50_000
    """Held-out tokens that the final measurements use, at most."""
    dead_window: int = 50_000
    """A latent that did not fire for this many training tokens counts as dead meanwhile."""
    checkpoint_every: float = 0.05
    """Length between two checkpoints."""

    def __post_init__(self) -> None:
        for name in (
            "learning_rate",
            "batch_size",
            "total_steps",
            "log_every",
            "held_out_tokens",
            "dead_window",
            "checkpoint_every",
        ):
            value = getattr(self, name)
            if not value > 0:
                raise SaeError(f"trainer.{name} must be positive, but got {value}.")
        for name in ("learning_rate_warmup", "alpha_warmup"):
            value = getattr(self, name)
            if not value >= 0:
                raise SaeError(f"trainer.{name} must not be negative, but got {value}.")
        if not 0 <= self.decay_fraction <= 1:
            raise SaeError(
                f"trainer.decay_fraction must lie between 0 and 1, but got {self.decay_fraction}."
            )
