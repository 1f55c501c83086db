"""How an SAE is trained."""

from dataclasses import dataclass, field
from enum import StrEnum

from sae.dead_latents import DeadLatentsConfig
from sae.errors import SaeError
from sae.number_rules import refuse_too_large, require_finite
from sae.trackers import Tracker


class Precision(StrEnum):
    """In what the matrix products run; weights, sums and losses are float32 in every case."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Controller(StrEnum):
    """What moves alpha during training, the warm-up aside."""

    none = "none"
    l0 = "l0"
    """Steers alpha until L0 at the end of the run should meet the target; see `sae.controller`."""


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
    """Linear warm-up of the learning rate; as steps at most a sixth of the run."""
    learning_rate_start: float = 0.0
    """Where the warm-up starts; the guide's is 1e-5, up to 1e-4 over 10,000 steps."""
    alpha_warmup: float = 200
    """Linear warm-up of alpha; as steps at most a third of the run."""
    decay_fraction: float = 0.2
    """Last part of the run in which the learning rate falls linearly to zero."""
    gradient_clip: float | None = 1.0
    """Largest norm of the gradient over all parameters together; a longer one is scaled down to
    it before Adam sees it (SAELens: 1, fixed). None: no limit, which at 600 steps costs fvu, as
    `python -m benchmarks.recipe` shows."""
    precision: Precision = Precision.auto
    """auto: bf16 where the processor multiplies it natively, otherwise fp32."""
    cuda_graph: bool = True
    """On CUDA, launch a step's kernels as a graph, which pays where they are short (see
    `sae.captured_step`). No effect elsewhere."""
    log_every: int = 10
    """Steps between two rows of history.csv."""
    held_out_tokens: int = 50_000
    """Held-out tokens that the final measurements use, at most."""
    dead_window: float = 0.05
    """A latent that did not fire for so long counts as dead meanwhile: below 1 a fraction of the
    run's training tokens, from 1 on a number of tokens."""
    checkpoint_every: float = 0.05
    """Length between two checkpoints."""
    checkpoint_share: float = 0.05
    """Largest part of the run's time that checkpoints may take; those that would take more are
    left out. 1: none are."""
    tracker: Tracker = Tracker.none
    """Where rows of history.csv go as well; see `sae.trackers`."""
    controller: Controller = Controller.none
    """What moves alpha during training; `l1_alpha` is then where it starts."""
    target_l0_start: float | None = None
    """Where a schedule of target_l0 starts: below 1 a fraction of latent_dim, from 1 on a count;
    the guide's is 0.1. None: target_l0 throughout."""
    target_l0_decay: float = 0.5
    """Length over which target_l0 falls linearly from its start."""
    stop_early: bool = True
    """Whether a run that diverged or collapsed ends at once; see `sae.health`."""
    dead_latents: DeadLatentsConfig = field(default_factory=DeadLatentsConfig)
    """What is done about latents that no longer fire."""

    @property
    def dead_window_tokens(self) -> float:
        """`dead_window` as a number of training tokens."""
        if self.dead_window >= 1:
            return self.dead_window
        return self.dead_window * self.total_steps * self.batch_size

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SaeError(f"trainer.{name} must be positive, but got {value}.")
        for name in _WHOLE:
            refuse_too_large(f"trainer.{name}", getattr(self, name))
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not value >= 0:
                raise SaeError(f"trainer.{name} must not be negative, but got {value}.")
        unlimited = (*_POSITIVE, *_NOT_NEGATIVE)
        require_finite("trainer.", {name: getattr(self, name) for name in unlimited})
        if self.held_out_tokens < 2:
            raise SaeError(
                "trainer.held_out_tokens must be at least 2, which have a variance, but got "
                f"{self.held_out_tokens}."
            )
        if not 0 < self.checkpoint_share <= 1:
            raise SaeError(
                "trainer.checkpoint_share must be above 0 and at most 1, but got "
                f"{self.checkpoint_share}."
            )
        if not 0 <= self.decay_fraction <= 1:
            raise SaeError(
                f"trainer.decay_fraction must lie between 0 and 1, but got {self.decay_fraction}."
            )


_WHOLE = ("batch_size", "total_steps", "log_every", "held_out_tokens")
_POSITIVE = (
    "learning_rate",
    "gradient_clip",
    "batch_size",
    "total_steps",
    "log_every",
    "dead_window",
    "checkpoint_every",
    "target_l0_start",
    "target_l0_decay",
)
_NOT_NEGATIVE = ("learning_rate_warmup", "learning_rate_start", "alpha_warmup")
