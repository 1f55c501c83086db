"""What each step of a run uses: the recipe's schedules put together."""

from sae.schedules import linear_decay, linear_warmup, resolve_steps
from sae.trainer_config import TrainerConfig

LONGEST_LEARNING_RATE_WARMUP = 1 / 6
"""Part of the run; assumption, so that a short run still trains at its learning rate."""
LONGEST_ALPHA_WARMUP = 1 / 3
"""Part of the run; assumption, so that a short run still settles under its alpha."""


def learning_rate_at(step: int, trainer: TrainerConfig) -> float:
    """The learning rate of a step: warm-up times decay."""
    warmup = resolve_steps(
        trainer.learning_rate_warmup, trainer.total_steps, LONGEST_LEARNING_RATE_WARMUP
    )
    decay = round(trainer.decay_fraction * trainer.total_steps)
    factor = linear_warmup(step, warmup) * linear_decay(step, trainer.total_steps, decay)
    return trainer.learning_rate * factor


def alpha_at(step: int, alpha_canonical: float, trainer: TrainerConfig) -> float:
    """The penalty's coefficient of a step."""
    warmup = resolve_steps(trainer.alpha_warmup, trainer.total_steps, LONGEST_ALPHA_WARMUP)
    return alpha_canonical * linear_warmup(step, warmup)


def checkpoint_interval(trainer: TrainerConfig) -> int:
    """Steps between two checkpoints, at least one."""
    return max(1, resolve_steps(trainer.checkpoint_every, trainer.total_steps))
