"""Which architecture is trained, and its own settings."""

from dataclasses import dataclass, field
from enum import StrEnum

from sae.errors import SaeError
from sae.number_rules import refuse_too_large, require_finite


class Architecture(StrEnum):
    """The architectures that can be trained; the value is what the user types.

    It is also the name of the architecture's file in this folder.
    """

    standard = "standard"
    gated = "gated"
    jumprelu = "jumprelu"
    topk = "topk"
    batchtopk = "batchtopk"

    @property
    def sets_l0(self) -> bool:
        """Whether L0 is given by k, so that there is no alpha."""
        return self in (Architecture.topk, Architecture.batchtopk)


def whole_k(target_l0_count: float) -> int:
    """Topk's active latents per token: the target rounded, at least one."""
    return max(1, round(target_l0_count))


class JumpReluPenalty(StrEnum):
    """What alpha multiplies in JumpReLU's loss."""

    l0 = "l0"
    tanh = "tanh"
    quadratic = "quadratic"


@dataclass(frozen=True, kw_only=True, slots=True)
class JumpReluConfig:
    """JumpReLU's own settings; lengths are in units of pre-activations.

    Raises:
        SaeError: A value is out of its range.
    """

    penalty: JumpReluPenalty = JumpReluPenalty.l0
    """l0 (Rajamanoharan et al. 2024), tanh (Anthropic, January 2025), or quadratic: the squared
    relative distance of the batch's L0 from target_l0."""
    bandwidth: float = 0.5
    """Width of the rectangle that stands in for the step's derivative."""
    initial_threshold: float = 0.01
    """Threshold at the start (SAELens: 0.01)."""
    threshold_rate_factor: float = 30.0
    """The thresholds' learning rate relative to the others'. At 1 Adam's step size limits how far
    they rise, and alpha moves nothing: L0 is 325 at alpha 4 and at 16. At 30, with this
    bandwidth, alpha 0.3, 1, 3 give L0 92, 33, 14, with fvu as good as at 10 and bandwidth 0.05
    (measured: all-MiniLM-L6-v2 layer 3, width 1024, 600 steps)."""
    tanh_scale: float = 4.0
    """Factor inside the tanh penalty (Anthropic: 4)."""

    def __post_init__(self) -> None:
        positive = ("bandwidth", "tanh_scale", "threshold_rate_factor")
        for name in positive:
            value = getattr(self, name)
            if not value > 0:
                raise SaeError(f"sae.jumprelu.{name} must be positive, but got {value}.")
        if not self.initial_threshold >= 0:
            raise SaeError(
                "sae.jumprelu.initial_threshold must not be negative, "
                f"but got {self.initial_threshold}."
            )
        finite = {name: getattr(self, name) for name in (*positive, "initial_threshold")}
        require_finite("sae.jumprelu.", finite)


@dataclass(frozen=True, kw_only=True, slots=True)
class SaeConfig:
    """What is trained.

    Raises:
        SaeError: A size is not positive, or too large.
    """

    architecture: Architecture = Architecture.standard
    """Which of the files in `sae/architectures` is trained."""
    latent_dim: int = 2048
    """Number of latents (the dictionary's size)."""
    decoder_init_norm: float = 0.1
    """Norm of every decoder row at the start (SAELens and Anthropic's April 2024 recipe: 0.1), and
    of the encoder's. Gated's decoder rows have norm 1 throughout."""
    tied_init: bool = True
    """Whether the encoder starts as the decoder's transpose (Gao et al. 2024: fewer latents die)
    or as directions of its own, of the same norm."""
    jumprelu: JumpReluConfig = field(default_factory=JumpReluConfig)
    """Used by jumprelu only."""

    def __post_init__(self) -> None:
        if self.latent_dim <= 0:
            raise SaeError(f"sae.latent_dim must be positive, but got {self.latent_dim}.")
        refuse_too_large("sae.latent_dim", self.latent_dim)
        if not self.decoder_init_norm > 0:
            raise SaeError(
                f"sae.decoder_init_norm must be positive, but got {self.decoder_init_norm}."
            )
        require_finite("sae.", {"decoder_init_norm": self.decoder_init_norm})

    @property
    def penalty(self) -> str:
        """What alpha multiplies: laws of different penalties are not comparable."""
        if self.architecture is Architecture.jumprelu:
            return self.jumprelu.penalty.value
        return "none" if self.architecture.sets_l0 else "l1"

    def reachable_target(self, target_l0_count: float) -> float:
        """The L0 that a run aims at: topk's k is a whole number of latents for each token.

        Args:
            target_l0_count: The target that is asked for.
        """
        if self.architecture is Architecture.topk:
            return whole_k(target_l0_count)
        return target_l0_count

    @property
    def needs_target(self) -> bool:
        """Whether training itself needs target_l0."""
        return self.architecture.sets_l0 or self.penalty == JumpReluPenalty.quadratic
