"""Which settings go together; each refusal is one line that says why."""

from sae.architectures.config import SaeConfig
from sae.dead_latents import Resampling
from sae.errors import SaeError
from sae.recipe import resamples_after, resampling_interval
from sae.trainer_config import Controller, TrainerConfig


def check_request(
    sae: SaeConfig, trainer: TrainerConfig, alpha: float, target: float | None
) -> None:
    """Checks what no single dataclass can see.

    Args:
        sae: What is trained.
        trainer: How.
        alpha: Canonical coefficient.
        target: Active latents per token asked for.

    Raises:
        SaeError: A value is out of its range, or two settings contradict one another.
    """
    _check_alpha(sae, alpha)
    _check_target(sae, trainer, target)
    _check_controller(sae, trainer, alpha, target)
    _check_dead_latents(sae, trainer)


def _check_alpha(sae: SaeConfig, alpha: float) -> None:
    if not 0 <= alpha < float("inf"):
        raise SaeError(f"l1_alpha must be finite and not negative, but got {alpha}.")
    if sae.architecture.sets_l0 and alpha != 0:
        raise SaeError(
            f"l1_alpha must be null with sae.architecture={sae.architecture}, whose k (from "
            f"target_l0) sets L0 without a penalty, but got {alpha}."
        )


def _check_target(sae: SaeConfig, trainer: TrainerConfig, target: float | None) -> None:
    if target is not None and not 0 < target <= sae.latent_dim:
        raise SaeError(
            f"target_l0 must be above 0 and at most sae.latent_dim ({sae.latent_dim}), "
            f"but got {target}."
        )
    if sae.needs_target and target is None:
        raise SaeError(
            f"target_l0 must be given with sae.architecture={sae.architecture} and penalty "
            f"{sae.penalty}, but got None."
        )
    start = trainer.target_l0_start
    if start is not None and not sae.needs_target:
        raise SaeError(
            f"trainer.target_l0_start must be null with sae.architecture={sae.architecture} and "
            f"penalty {sae.penalty}, where nothing follows target_l0 as it falls (a controller "
            f"steers for the end of the run), but got {start}."
        )
    if start is not None and start > sae.latent_dim:
        raise SaeError(
            f"trainer.target_l0_start must be at most sae.latent_dim ({sae.latent_dim}), "
            f"but got {start}."
        )


def _check_controller(
    sae: SaeConfig, trainer: TrainerConfig, alpha: float, target: float | None
) -> None:
    if trainer.controller is Controller.none:
        return
    if sae.needs_target:
        raise SaeError(
            f"trainer.controller must be none with sae.architecture={sae.architecture} and "
            f"penalty {sae.penalty}, which follow target_l0 by themselves, "
            f"but got {trainer.controller}."
        )
    if target is None:
        raise SaeError("target_l0 must be given with trainer.controller=l0, but got None.")
    if alpha == 0:
        raise SaeError(
            "l1_alpha must be positive with trainer.controller=l0, which starts there, but got 0."
        )


def _check_dead_latents(sae: SaeConfig, trainer: TrainerConfig) -> None:
    config = trainer.dead_latents
    if config.auxk_latents is not None and config.auxk_latents > sae.latent_dim:
        raise SaeError(
            "trainer.dead_latents.auxk_latents must be at most sae.latent_dim "
            f"({sae.latent_dim}), but got {config.auxk_latents}."
        )
    if config.resampling is not Resampling.none:
        steps = resampling_interval(trainer)
        if not resamples_after(steps - 1, trainer):  # later ones have less left to learn in
            raise SaeError(
                "trainer.dead_latents.resampling must be none where nothing can be replaced, "
                f"since after resample_every ({steps} steps) the learning rate falls already "
                f"(trainer.decay_fraction {trainer.decay_fraction:g}) or fewer steps are left of "
                f"trainer.total_steps ({trainer.total_steps}), but got {config.resampling}."
            )
        if steps * trainer.batch_size < trainer.dead_window_tokens:
            raise SaeError(
                "trainer.dead_latents.resample_every must leave a new latent trainer.dead_window "
                f"({trainer.dead_window_tokens:g} tokens) to fire, but got {steps} steps of "
                f"{trainer.batch_size} tokens."
            )
