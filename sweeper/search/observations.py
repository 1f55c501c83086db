"""What a finished, stopped or running trial says about its width's L0 curve."""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite, log, sqrt

from sweeper.errors import SweepError

SEED_NOISE_SD = 0.02
"""Default sd of the difference between ln L0 of two seeds; measured 0.007 to 0.021, root two times
the sd over three seeds (ours in benchmarks/results/quality.jsonl)."""
SAME_SEED_NOISE_SD = 0.01
"""The same between runs at neighbouring alphas that share their seed, hence weights to start with
and batches: 0.001 to 0.015 about a parabola through four alphas (standard, in
benchmarks/results/recipe_layer3.csv)."""


class Relation(StrEnum):
    """How a trial's true ln L0 relates to the stated `ln_l0`."""

    equal = "equal"
    below = "below"
    above = "above"


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One trial's finding on the curve L0(alpha) of its width, whatever target it was run for."""

    ln_alpha: float
    """Natural logarithm of the canonical L1 alpha."""
    latent_dim: int
    """Width of the trial's SAE."""
    ln_l0: float
    """ln of the measured L0 (a count), or of its bound where `relation` is not `equal`."""
    relation: Relation = Relation.equal
    """`below`: L0 is at most `exp(ln_l0)` at this alpha; `above`: at least."""
    noise_sd: float = SEED_NOISE_SD
    """Sd of `ln_l0` from seed, data order and held-out sample."""
    seed: int = 0
    """The trial's seed; replicates at one alpha differ in it."""
    learning_rate: float | None = None
    """Peak learning rate; None: the cell's own."""
    total_steps: int | None = None
    """Training budget in steps; None: the cell's own."""
    is_complete: bool = True
    """Whether the run came to its end: only such a run lands, or is the law's data."""

    def __post_init__(self) -> None:
        """Refuses numbers that no trial can have.

        Raises:
            SweepError: A value is not finite, or a width or sd is not positive.
        """
        for name in ("ln_alpha", "ln_l0"):
            value = getattr(self, name)
            if not isfinite(value):
                raise SweepError(f"observation.{name} must be finite, but got {value}.")
        for name in ("latent_dim", "noise_sd"):
            value = getattr(self, name)
            if not value > 0:
                raise SweepError(f"observation.{name} must be positive, but got {value}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A trial that was proposed and has not ended."""

    ln_alpha: float
    """Natural logarithm of the canonical L1 alpha."""
    latent_dim: int
    """Width of the trial's SAE."""


def seen_with(observation: Observation, seed: int) -> Observation:
    """The observation as it bears on the curve of one seed, less noisy where it is its own."""
    if observation.seed != seed or not observation.is_complete:
        return observation
    spared = SEED_NOISE_SD**2 - SAME_SEED_NOISE_SD**2
    least = min(observation.noise_sd, SAME_SEED_NOISE_SD)
    variance = max(observation.noise_sd**2 - spared, least**2)
    return replace(observation, noise_sd=sqrt(variance))


def observe(
    *,
    ln_alpha: float,
    latent_dim: int,
    l0: float,
    held_out_tokens: int | None = None,
    noise_sd: float = SEED_NOISE_SD,
) -> Observation:
    """The observation of a complete run, an L0 of zero becoming the bound that it is.

    Args:
        ln_alpha: ln of the canonical alpha.
        latent_dim: Width.
        l0: Measured mean count of active latents, >= 0.
        held_out_tokens: Tokens that L0 was measured on; a zero says that L0 is below one
            activation in so many tokens. None: 1000 (assumption, on the safe side).
        noise_sd: Sd of ln L0.

    Raises:
        SweepError: `l0` is negative or not finite.
    """
    if not (isfinite(l0) and l0 >= 0):
        raise SweepError(f"observation.l0 must be a count of zero or more, but got {l0}.")
    smallest = 1 / (held_out_tokens or 1000)
    relation = Relation.equal if l0 >= smallest else Relation.below
    return Observation(
        ln_alpha=ln_alpha,
        latent_dim=latent_dim,
        ln_l0=log(max(l0, smallest)),
        relation=relation,
        noise_sd=noise_sd,
    )
