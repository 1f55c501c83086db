"""Why a cell did not reach its goal, and what may help."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from optuna.distributions import FloatDistribution

from analysis.records import State
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell, given_alpha, search_seed, steers_alpha
from sweeper.progress import (
    cell_state,
    fails_always,
    gap_without_answer,
    is_steered,
    next_trial,
)
from sweeper.repeats import repeated_alpha
from sweeper.space import SearchSpace
from sweeper.sweep_config import Goal

NEAR = 1e-6
"""Relative distance within which an alpha is the end of an interval."""


def goal_words(cell: Cell) -> str:
    """How every such line begins."""
    return f"the goal {cell.settings.sweep.goal.value} is not reached"


def why_not_reached(
    cell: Cell,
    trials: Sequence[BookedTrial],
    space: SearchSpace,
    bounds: Callable[[Cell], FloatDistribution],
) -> str:
    """One line.

    Args:
        cell: The cell.
        trials: Those of its group that this command counts.
        space: Says what is searched, and where.
        bounds: Where alpha is searched in a cell, also where the user gave no bounds.
    """
    error = _error(cell, trials, space)
    if error is not None:
        return f"{goal_words(cell)}: {error}; the same command tries again"
    never_ended = _never_ended(cell, trials, space)
    if never_ended is not None:
        return f"{goal_words(cell)}, and {never_ended}"
    if is_steered(cell, space):
        return f"{goal_words(cell)}{_of_steered(cell)}"
    if cell.settings.sae.architecture.sets_l0 and not space.searched:
        return f"{goal_words(cell)}{_of_k(cell)}"
    gap = gap_without_answer(cell, trials)
    if gap is not None:
        return (
            f"{goal_words(cell)}: at l1_alpha={gap[0]:.4g} L0 is above the target and at "
            f"{gap[1]:.4g} runs diverge; more steps or a smaller learning rate may help"
        )
    given = cell.settings.l1_alpha
    if given is not None and not steers_alpha(cell.settings):
        return (
            f"{goal_words(cell)}: no run at the given l1_alpha={given:g} is in band; without it "
            "alpha is searched"
        )
    repeated = repeated_alpha(cell, trials, search_seed(cell, space))
    if repeated is not None and cell.settings.leaves_alpha_open:
        where = _place(repeated, bounds(cell), by_default=space.alpha_bounds is None)
        return f"{goal_words(cell)}: the search came to l1_alpha={repeated:.4g} twice, {where}"
    if space.searched and not _larger_n_trials_goes_on(cell, trials, space):
        return f"{goal_words(cell)}{_of_all_candidates(cell)}"
    return f"{goal_words(cell)}; a larger sweep.n_trials goes on"


def _error(cell: Cell, trials: Sequence[BookedTrial], space: SearchSpace) -> str | None:
    """The last failure, where failures are what the goal lacks."""
    ended = [trial for trial in trials if trial.record is not None]
    failed = [trial for trial in ended if trial.state == State.failed]
    if not failed:
        return None
    is_searched = (
        cell.settings.leaves_alpha_open
        and not space.alpha_grid
        and cell_state(cell, trials).landed is None
    )
    gave_up = fails_always(trials, cell.settings.sweep.max_retries)
    if is_searched and not gave_up and len(failed) < len(ended):
        return None
    return "; ".join((failed[-1].record or {})["verdict_reasons"])


def _never_ended(cell: Cell, trials: Sequence[BookedTrial], space: SearchSpace) -> str | None:
    states = Counter(str(trial.state) for trial in trials if trial.record is not None)
    if not states or states[State.complete]:
        return None
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    is_given = bool(space.alpha_grid or given_alpha(cell)) and not space.searched
    helps = _helps_given(cell, states) if is_given else _helps_searched(cell, states)
    return f"no trial came to its end ({counts}): {helps}"


def _helps_searched(cell: Cell, states: Mapping[str, int]) -> str:
    pruner = (
        "; sweep.pruner=none with a larger sweep.n_trials lets runs end by themselves"
        if State.pruned in states
        else ""
    )
    steps = cell.settings.trainer.total_steps
    return f"trainer.total_steps={steps} may be too few for this target{pruner}"


def _helps_given(cell: Cell, states: Mapping[str, int]) -> str:
    """What helps where no other run is looked for, and those of this study are not repeated."""
    if State.pruned in states:
        return "sweep.pruner=none with another sweep.study_name lets runs end by themselves"
    has_alpha = not cell.settings.sae.architecture.sets_l0
    return f"a smaller {'l1_alpha or ' if has_alpha else ''}trainer.learning_rate may help"


def _of_k(cell: Cell) -> str:
    architecture = cell.settings.sae.architecture.value
    return (
        f": no run of {architecture}, whose k is target_l0, ended in band; more "
        "trainer.total_steps or a larger sweep.tolerance may help"
    )


def _of_steered(cell: Cell) -> str:
    """What helps where each run looks for alpha itself: not another run."""
    if cell.settings.sweep.goal is Goal.law:
        return ": runs of trainer.controller=l0 inform no law, those of trainer.controller=none do"
    return (
        ": no run of trainer.controller=l0 ended in band; more trainer.total_steps or another "
        "l1_alpha to start from may help, and trainer.controller=none searches alpha"
    )


def _larger_n_trials_goes_on(
    cell: Cell, trials: Sequence[BookedTrial], space: SearchSpace
) -> bool:
    """Whether there is a candidate left to try, or one to bring into the band."""
    sweep = replace(cell.settings.sweep, n_trials=cell.settings.sweep.n_trials + len(trials) + 1)
    larger = replace(cell, settings=replace(cell.settings, sweep=sweep))
    return next_trial(larger, trials, space).need.starts_a_trial


def _of_all_candidates(cell: Cell) -> str:
    """What helps where every combination of the searched values was tried."""
    steered = ", and trainer.controller=none searches alpha" if steers_alpha(cell.settings) else ""
    return (
        ": every candidate was tried and none is in band; other values to choose from or more "
        f"trainer.total_steps may help{steered}"
    )


def _place(repeated: float, searched: FloatDistribution, *, by_default: bool) -> str:
    """Why a search comes to an alpha again."""
    low, high = searched.low, searched.high
    if min(abs(repeated / low - 1), abs(repeated / high - 1)) >= NEAR:
        return "where alpha does not move L0 any more"
    if by_default:
        return (
            f"the end of where it looks by default, from {low:.4g} to {high:.4g}; "
            "l1_alpha=interval(low,high) looks elsewhere"
        )
    return (
        f"the end of its interval from {low:g} to {high:g}; another sweep.study_name may "
        "have a wider one, and sweep.warm_start takes these trials along"
    )
