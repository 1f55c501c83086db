"""What a command line may not ask for at once."""

from sae.architectures.config import JumpReluPenalty
from sae.trainer_config import Controller
from sweeper.errors import SweepError
from sweeper.sampler_names import SamplerName
from sweeper.settings import Settings
from sweeper.space import SearchSpace
from sweeper.sweep_config import Goal

SEEDS_OF_OPTUNA = 2**32
"""Its samplers take whole numbers from 0 to below this."""


def refuse_contradictions(settings: Settings, space: SearchSpace) -> None:
    """Refuses a cell that cannot be searched as asked.

    Args:
        settings: The cell's.
        space: What the command line asks for.

    Raises:
        SweepError: Alpha searched where k sets L0, or fixed and searched, or for a target of all
            latents, or steered by a trainer that cannot; a grid of alpha, or a
            law, where other keys are searched, a law where no alpha is too sparse; the lowest fvu
            where none is; a seed that no sampler takes, or a sampler that takes no alpha.
    """
    if space.searches_alpha:
        _refuse_alpha(settings, space)
    _refuse_seed(settings, space)
    _refuse_target(settings, space)
    _refuse_law_of_strengths(settings, space)
    refuse_steering(settings)
    _refuse_enqueued(settings, space)
    if not space.searched:
        if settings.sweep.goal is Goal.fvu:
            raise SweepError(
                "sweep.goal must be land or law where nothing but l1_alpha is searched, "
                "but got fvu."
            )
        return
    first = next(iter(space.searched))
    if space.alpha_grid:
        raise SweepError(
            f"l1_alpha must be one value or an interval where {first} is searched, "
            f"but got {_alpha_words(space)}."
        )
    if settings.leaves_alpha_open and settings.sweep.sampler is SamplerName.brute_force:
        raise SweepError(
            "sweep.sampler must be another one, such as grid, where l1_alpha is searched, whose "
            "values have no end, but got brute_force."
        )
    if settings.sweep.goal is Goal.law:
        raise SweepError(
            f"sweep.goal must be land or fvu where {first} is searched, since a law belongs to "
            "one recipe, but got law."
        )
    if len(settings.sweep.budgets) > 1:
        raise SweepError(
            f"sweep.budgets must be [1] where {first} is searched, since the best recipe of short "
            f"runs is another, but got {list(settings.sweep.budgets)}."
        )


def _refuse_alpha(settings: Settings, space: SearchSpace) -> None:
    architecture = settings.sae.architecture
    if architecture.sets_l0:
        raise SweepError(
            f"l1_alpha must not be searched with {architecture.value}, whose k is target_l0, "
            f"but got {_alpha_words(space)}."
        )
    if settings.l1_alpha is not None:
        raise SweepError(
            f"l1_alpha must be fixed or searched, but got both {settings.l1_alpha:g} "
            f"and {_alpha_words(space)}."
        )


def _refuse_seed(settings: Settings, space: SearchSpace) -> None:
    """A list of seeds is for training alone, which takes larger ones."""
    if not space.seeds and settings.seed >= SEEDS_OF_OPTUNA:
        raise SweepError(
            f"seed must be less than {SEEDS_OF_OPTUNA} in a sweep, whose sampler takes no more, "
            f"but got {settings.seed}."
        )


def _refuse_target(settings: Settings, space: SearchSpace) -> None:
    """Before a study is made, which would keep the target."""
    is_searched = settings.leaves_alpha_open and not space.alpha_grid
    if is_searched and settings.target_l0_count >= settings.sae.latent_dim:
        raise SweepError(
            f"target_l0 must be fewer than sae.latent_dim = {settings.sae.latent_dim} latents "
            f"where l1_alpha is searched, but got {settings.target_l0_count:g}."
        )


def _refuse_law_of_strengths(settings: Settings, space: SearchSpace) -> None:
    """A law wants runs on both sides, and a search for the sparse one would have no end."""
    is_searched = settings.leaves_alpha_open and not space.alpha_grid
    penalises_distance = settings.sae.penalty == JumpReluPenalty.quadratic
    if penalises_distance and is_searched and settings.sweep.goal is Goal.law:
        raise SweepError(
            "sweep.goal must be land where l1_alpha is searched with sae.jumprelu.penalty="
            "quadratic, whose alpha holds L0 to the target and brings it no lower, but got law."
        )


def refuse_steering(settings: Settings) -> None:
    """Refuses to steer another trainer's alpha: the controller is part of this project's.

    Raises:
        SweepError: It is asked for.
    """
    if settings.sweep.train is not None and settings.trainer.controller is not Controller.none:
        raise SweepError(
            f"trainer.controller must be none with sweep.train={settings.sweep.train}, which "
            f"it does not steer, but got {settings.trainer.controller}."
        )


def _refuse_enqueued(settings: Settings, space: SearchSpace) -> None:
    """Known alphas start a search of alpha in one recipe; elsewhere they would never be run."""
    enqueue = settings.sweep.enqueue
    alone = not (space.searched or space.alpha_grid)
    if enqueue and not (alone and settings.leaves_alpha_open):
        raise SweepError(
            f"sweep.enqueue must be empty unless l1_alpha alone is searched, but got {enqueue}."
        )


def _alpha_words(space: SearchSpace) -> str:
    if space.alpha_bounds is None:
        return ",".join(f"{alpha:g}" for alpha in space.alpha_grid)
    low, high = space.alpha_bounds
    return f"interval({low:g},{high:g})"
