"""What each step of a run uses: the recipe's schedules put together."""

from sae.dead_latents import Resampling
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
    rising = linear_warmup(step, warmup)
    rate = trainer.learning_rate_start * (1 - rising) + trainer.learning_rate * rising
    return rate * linear_decay(step, trainer.total_steps, decay_steps(trainer))


def alpha_at(step: int, alpha_canonical: float, trainer: TrainerConfig) -> float:
    """The penalty's coefficient of a step."""
    warmup = resolve_steps(trainer.alpha_warmup, trainer.total_steps, LONGEST_ALPHA_WARMUP)
    return alpha_canonical * linear_warmup(step, warmup)


def full_strength_from(trainer: TrainerConfig) -> int:
    """First step at which both warm-ups are over."""
    total = trainer.total_steps
    return max(
        resolve_steps(trainer.learning_rate_warmup, total, LONGEST_LEARNING_RATE_WARMUP),
        resolve_steps(trainer.alpha_warmup, total, LONGEST_ALPHA_WARMUP),
    )


def warmup_warnings(trainer: TrainerConfig) -> list[str]:
    """A line for each warm-up that is cut short, unless it is the default's."""
    longest = {
        "learning_rate_warmup": LONGEST_LEARNING_RATE_WARMUP,
        "alpha_warmup": LONGEST_ALPHA_WARMUP,
    }
    default = TrainerConfig()
    lines: list[str] = []
    for name, part in longest.items():
        asked = getattr(trainer, name)
        taken = resolve_steps(asked, trainer.total_steps, part)
        if 1 <= asked != getattr(default, name) and taken < int(asked):
            lines.append(
                f"trainer.{name} takes {taken} steps in place of {asked:g}, "
                f"{part:.3g} of {trainer.total_steps}; a fraction, such as 0.5, is taken as it is"
            )
    return lines


def target_l0_at(
    step: int, target_l0_count: float | None, latent_dim: int, trainer: TrainerConfig
) -> float | None:
    """Active latents per token asked for at a step: falls linearly from the schedule's start.

    Args:
        step: The step.
        target_l0_count: The final target as a count; None where there is none.
        latent_dim: Number of latents, for a start given as a fraction.
        trainer: The schedule.
    """
    start = trainer.target_l0_start
    if target_l0_count is None or start is None:
        return target_l0_count
    start_count = start * latent_dim if start < 1 else start
    # The last step has the final target, whatever the length: what it trains is what is saved.
    length = min(
        resolve_steps(trainer.target_l0_decay, trainer.total_steps), trainer.total_steps - 1
    )
    remaining = max(0.0, 1 - step / length) if length else 0.0
    return target_l0_count + (start_count - target_l0_count) * remaining


def logs_after(step: int, trainer: TrainerConfig) -> bool:
    """Whether a row of history.csv is due after a step: at intervals, and at the end."""
    done = step + 1
    return done % trainer.log_every == 0 or done == trainer.total_steps


def checkpoint_interval(trainer: TrainerConfig) -> int:
    """Steps between two checkpoints, at least one."""
    return max(1, resolve_steps(trainer.checkpoint_every, trainer.total_steps))


def resampling_interval(trainer: TrainerConfig) -> int:
    """Steps between two replacements of dead latents, at least one."""
    return max(1, resolve_steps(trainer.dead_latents.resample_every, trainer.total_steps))


def resamples_after(step: int, trainer: TrainerConfig) -> bool:
    """Whether dead latents are replaced after a step: at intervals, while new ones can learn.

    They can until the decay begins, and with at least another interval to go.
    """
    config = trainer.dead_latents
    if config.resampling is Resampling.none:
        return False
    interval = resampling_interval(trainer)
    done, total = step + 1, trainer.total_steps
    learns = done + interval <= total and linear_decay(done, total, decay_steps(trainer)) == 1
    return learns and done % interval == 0


def decay_steps(trainer: TrainerConfig) -> int:
    """Steps at the end in which the learning rate falls."""
    return round(trainer.decay_fraction * trainer.total_steps)
