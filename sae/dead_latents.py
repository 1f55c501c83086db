"""What is done about latents that no longer fire, and the settings for it."""

from dataclasses import dataclass
from enum import StrEnum

from sae.errors import SaeError
from sae.number_rules import require_finite


class Resampling(StrEnum):
    """What replaces a dead latent."""

    none = "none"
    copy = "copy"
    """A living latent, picked by chance, plus noise (the founding guide's kind)."""
    loss_weighted = "loss_weighted"
    """The direction of a token picked with probability proportional to its squared loss
    (Bricken et al. 2023, "Towards Monosemanticity", appendix)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLatentsConfig:
    """Techniques against dead latents; each is one setting, and off at zero or none.

    Dead means: did not fire for `trainer.dead_window` training tokens.

    Raises:
        SaeError: A value is out of its range.
    """

    auxk_coefficient: float = 1.0
    """Weight of the auxiliary loss (Gao et al. 2024: 1/32; SAELens: 1); see
    `sae.architectures.auxk`. With `pre_activation` it is on by default; where no latent is dead
    they do nothing. `python -m benchmarks.dead_latents` measures what they do where many are."""
    auxk_latents: int | None = None
    """Dead latents used per token, at most; None: half of d_in (Gao et al. 2024)."""
    pre_activation: float = 0.03
    """Coefficient of the loss that raises dead latents' pre-activations where these are negative,
    so that a ReLU lets a gradient through again; see `sae.architectures.auxk`."""
    resampling: Resampling = Resampling.none
    """What replaces dead latents, if anything."""
    resample_every: float = 0.1
    """Length between two replacements: below 1 a fraction of total_steps, from 1 on steps. None
    are replaced once the learning rate decays, nor within that length of the end, since they
    could no longer learn."""
    encoder_l2: float = 0.0
    """Coefficient of ||W_enc||^2 in the loss."""
    diversity: float = 0.0
    """Coefficient of the mean squared cosine between decoder rows in the loss."""

    @property
    def revives(self) -> bool:
        """Whether dead latents get gradients of their own."""
        return bool(self.auxk_coefficient or self.pre_activation)

    def __post_init__(self) -> None:
        if not self.resample_every > 0:
            raise SaeError(
                "trainer.dead_latents.resample_every must be positive, "
                f"but got {self.resample_every}."
            )
        coefficients = ("auxk_coefficient", "pre_activation", "encoder_l2", "diversity")
        for name in coefficients:
            value = getattr(self, name)
            if not value >= 0:
                raise SaeError(
                    f"trainer.dead_latents.{name} must not be negative, but got {value}."
                )
        finite = {name: getattr(self, name) for name in (*coefficients, "resample_every")}
        require_finite("trainer.dead_latents.", finite)
        if self.auxk_latents is not None and self.auxk_latents < 1:
            raise SaeError(
                f"trainer.dead_latents.auxk_latents must be positive, but got {self.auxk_latents}."
            )
