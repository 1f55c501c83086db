"""What a cell still needs: a pure function of its trials, its goal and its budget."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from analysis.records import State
from sweeper.booked_trial import BookedTrial
from sweeper.candidates import best_in_band, pruned_so_far, ranked, to_bring_into_band
from sweeper.cells import Cell, given_alpha, of_group, search_seed, steers_alpha
from sweeper.distributions import Value, number_of_points
from sweeper.record import is_in_band, signed_log_error
from sweeper.repeats import repeated_alpha
from sweeper.space import SearchSpace
from sweeper.sweep_config import Goal

NARROW = 0.02
"""Relative distance of two alphas between which none is looked for: L0 moves by about as much."""
ALPHAS_FOR_A_LAW = 3
"""Distinct alphas in a cell: two give a line and no interval (analysis.gate)."""


class Need(StrEnum):
    """The kind of a cell's next trial."""

    land = "land"
    """Alpha is searched: no run is in band."""
    bracket = "bracket"
    """A run is in band; the law wants runs on both sides of the target."""
    improve = "improve"
    """Optuna proposes another candidate, for a lower fvu at the target."""
    given = "given"
    """An alpha that is fixed, of a grid, or repeated for another seed."""
    retry = "retry"
    """A failed trial is repeated."""
    nothing = "nothing"
    """The goal is reached."""
    exhausted = "exhausted"
    """The budget is spent and the goal is not reached."""
    wait = "wait"
    """What is running may be all that is needed."""

    @property
    def starts_a_trial(self) -> bool:
        """Whether there is something to run."""
        return self not in (Need.nothing, Need.exhausted, Need.wait)


@dataclass(frozen=True, kw_only=True, slots=True)
class NextTrial:
    """What a cell wants to run next."""

    need: Need
    seed: int = 0
    l1_alpha: float | None = None
    """Where it is given."""
    params: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """The other searched keys, where they are given."""
    retry_of: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CellState:
    """What a cell has reached, judged by all runs of its group."""

    landed: BookedTrial | None
    """The run in band that is nearest to the target, of the recipe with the lowest fvu there: by
    fvu alone the dense edge of the band would win."""
    nearest: BookedTrial | None
    """The landed run, otherwise the one whose L0 is nearest to the target."""
    bracketed: bool
    """Complete runs lie on both sides of the target."""
    distinct_alphas: int
    """Of complete runs."""


def group_trials(
    cell: Cell, cells: Sequence[Cell], trials: Iterable[BookedTrial]
) -> list[BookedTrial]:
    """The trials that inform a cell: its own, and those of cells with another target only."""
    names = of_group(cell, cells)
    return [trial for trial in trials if trial.cell in names]


def cell_state(cell: Cell, trials: Iterable[BookedTrial]) -> CellState:
    """Judges a cell by the complete runs of its group.

    Args:
        cell: The cell.
        trials: Trials of the cell's group, whichever target proposed them.
    """
    complete = [trial for trial in trials if trial.state == State.complete]
    errors = [_log_error(cell, trial.record or {}) for trial in complete]
    known = [error for error in errors if error is not None]
    landed = _landed(cell, complete, errors)
    by_distance = [
        (abs(error), trial.number, trial)
        for trial, error in zip(complete, errors, strict=True)
        if error is not None
    ]
    return CellState(
        landed=landed,
        nearest=landed or min(by_distance, default=(0, 0, None))[2],
        bracketed=any(error > 0 for error in known) and any(error < 0 for error in known),
        distinct_alphas=len({trial.l1_alpha for trial in complete}),
    )


def _landed(
    cell: Cell, complete: Sequence[BookedTrial], errors: Sequence[float | None]
) -> BookedTrial | None:
    """The answer: where recipes compete the best one's run, otherwise the one nearest by."""
    if any(trial.params for trial in complete):
        return _best_run(cell, complete)
    in_band = [
        (abs(error), trial.number, trial)
        for trial, error in zip(complete, errors, strict=True)
        if error is not None and is_in_band(error, cell.settings.sweep.tolerance)
    ]
    return min(in_band, default=(0, 0, None))[2]


def next_trial(cell: Cell, trials: Sequence[BookedTrial], space: SearchSpace) -> NextTrial:
    """Decides what the cell runs next.

    Args:
        cell: The cell.
        trials: Trials of the cell's group, those running among them.
        space: Gives seeds, grid and bounds.
    """
    if (failed := _failed_to_retry(trials, cell.settings.sweep.max_retries)) is not None:
        return failed
    seeds = space.seeds if space.seeds and cell.budget == 1 else (search_seed(cell, space),)
    if space.searched:
        return _next_of_candidates(cell, trials, space, seeds)
    alphas = sorted(space.alpha_grid) or given_alpha(cell)
    if alphas and not is_steered(cell, space):
        return _next_given(cell, trials, alphas, seeds)
    known = _next_known(cell, trials, seeds[0])
    if known is not None:
        return known
    if is_steered(cell, space):
        return _next_steered(cell, trials, seeds)
    state = cell_state(cell, trials)
    goal = cell.settings.sweep.goal
    if state.landed is None:
        need = Need.land
    elif goal is Goal.law and not _fit_for_a_law(state):
        need = Need.bracket
        if _may_fit_a_law(state, trials):
            need = Need.wait
    else:
        return _first_missing((state.landed.l1_alpha,), confirmed_seeds(cell, seeds), trials)
    if _is_over(cell, trials, seeds[0]):
        need = Need.exhausted
    return NextTrial(need=need, seed=seeds[0])


def _next_given(
    cell: Cell, trials: Sequence[BookedTrial], alphas: Sequence[float], seeds: Sequence[int]
) -> NextTrial:
    """Each given alpha with each seed, then the answer's with the seeds of `sweep.confirm`."""
    if _fails_from_the_start(cell, trials):
        return NextTrial(need=Need.exhausted)
    wanted = _first_missing(alphas, seeds, trials)
    if wanted.need is not Need.nothing:
        return wanted
    landed = cell_state(cell, trials).landed
    of_grid = () if landed is None else (landed.l1_alpha,)
    answer = alphas if len(alphas) == 1 else of_grid
    wanted = _first_missing(answer, confirmed_seeds(cell, seeds), trials)
    if wanted.need is Need.nothing and _ended_without_an_answer(cell, trials):
        return NextTrial(need=Need.exhausted)
    return wanted


def _ended_without_an_answer(cell: Cell, trials: Sequence[BookedTrial]) -> bool:
    """Whether given runs say nothing: an alpha off the band has its L0, a k off it has failed."""
    if any(trial.is_running for trial in trials):
        return False
    if cell.settings.sae.architecture.sets_l0:
        return cell_state(cell, trials).landed is None
    return all(trial.state != State.complete for trial in trials)


def is_steered(cell: Cell, space: SearchSpace) -> bool:
    """Whether each run of a cell looks for alpha itself, from one that is given or the prior's."""
    return steers_alpha(cell.settings) and not space.searched and not space.alpha_grid


def _next_steered(cell: Cell, trials: Sequence[BookedTrial], seeds: Sequence[int]) -> NextTrial:
    """One run per seed, all from one alpha: another would only be the same again."""
    start = given_alpha(cell) or tuple(trial.l1_alpha for trial in trials[:1])
    if not start:
        return NextTrial(need=Need.land, seed=seeds[0])
    wanted = _first_missing(start, confirmed_seeds(cell, seeds), trials)
    if wanted.need is not Need.nothing or any(trial.is_running for trial in trials):
        return wanted
    landed = cell_state(cell, trials).landed is not None
    is_reached = landed and cell.settings.sweep.goal is not Goal.law
    return wanted if is_reached else NextTrial(need=Need.exhausted)


def _next_known(cell: Cell, trials: Sequence[BookedTrial], seed: int) -> NextTrial | None:
    """An alpha of `sweep.enqueue` that was not run: it is asked for, whatever was reached."""
    if cell.budget < 1 or fails_always(trials, cell.settings.sweep.max_retries):
        return None
    known = _first_missing(cell.settings.sweep.known_alphas(cell.name), (seed,), trials)
    return known if known.need is Need.given else None


def confirmed_seeds(cell: Cell, seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds that the answer's alpha is run with: those asked for and `sweep.confirm` more."""
    return (*seeds, *range(max(seeds) + 1, max(seeds) + 1 + cell.settings.sweep.confirm))


def _may_fit_a_law(state: CellState, trials: Sequence[BookedTrial]) -> bool:
    """Whether the running trials can be what is still missing."""
    running = {trial.l1_alpha for trial in trials if trial.is_running}
    return bool(running) and state.distinct_alphas + len(running) >= ALPHAS_FOR_A_LAW


def _next_of_candidates(
    cell: Cell, trials: Sequence[BookedTrial], space: SearchSpace, seeds: Sequence[int]
) -> NextTrial:
    """What a cell runs next where Optuna searches other keys than alpha."""
    best = _best_run(cell, trials)
    alpha = next(iter(given_alpha(cell)), None)
    if best is None or cell.settings.sweep.goal is Goal.fvu:
        wanted = _next_candidate(cell, trials, space, alpha)
        is_over = _is_spent(cell, trials, seeds[0]) or _fails_from_the_start(cell, trials)
        if wanted is not None and not is_over:
            return replace(wanted, seed=seeds[0])
    if best is None:
        return NextTrial(need=Need.exhausted)
    return _first_missing((best.l1_alpha,), confirmed_seeds(cell, seeds), trials, best.params)


def _next_candidate(
    cell: Cell, trials: Sequence[BookedTrial], space: SearchSpace, alpha: float | None
) -> NextTrial | None:
    """Another run of the best candidate or of a pruned one, or a new one; None: all were tried."""
    # A run that steers alpha itself would only be the same again.
    steered = steers_alpha(cell.settings)
    points = number_of_points(space.searched.values())
    all_tried = points is not None and len({trial.recipe for trial in trials}) >= points
    if alpha is None and not steered and (all_tried or cell.settings.sweep.goal is Goal.fvu):
        unsettled = to_bring_into_band(ranked(cell, trials))
        if unsettled is not None:
            return NextTrial(need=Need.land, params=unsettled.trial.params)
        pruned = pruned_so_far(cell, trials)
        if pruned is not None:
            return NextTrial(need=Need.land, params=pruned)
    return None if all_tried else NextTrial(need=Need.improve, l1_alpha=alpha)


def _best_run(cell: Cell, trials: Sequence[BookedTrial]) -> BookedTrial | None:
    """The run in band with the lowest fvu at the target."""
    best = best_in_band(ranked(cell, trials))
    return None if best is None else best.trial


def _is_spent(cell: Cell, trials: Sequence[BookedTrial], seed: int) -> bool:
    own = sum(trial.cell == cell.name and trial.seed == seed for trial in trials)
    return own >= cell.settings.sweep.n_trials


def _is_over(cell: Cell, trials: Sequence[BookedTrial], seed: int) -> bool:
    """Whether a search has had its trials, or would learn nothing from another."""
    is_stuck = repeated_alpha(cell, trials, seed) is not None or gap_without_answer(cell, trials)
    max_retries = cell.settings.sweep.max_retries
    return bool(is_stuck) or _is_spent(cell, trials, seed) or fails_always(trials, max_retries)


def gap_without_answer(cell: Cell, trials: Sequence[BookedTrial]) -> tuple[float, float] | None:
    """Two neighbouring alphas, one too dense and the next one diverged: none gives the target."""
    diverged = [t.l1_alpha for t in trials if t.state == State.diverged]
    dense = [
        trial.l1_alpha
        for trial in trials
        if trial.state == State.complete and (_log_error(cell, trial.record or {}) or 0) > 0
    ]
    if not (diverged and dense and max(dense) < min(diverged) < max(dense) * (1 + NARROW)):
        return None
    return max(dense), min(diverged)


def fails_always(trials: Sequence[BookedTrial], max_retries: int) -> bool:
    """Whether the last trials all failed, two with all their repetitions."""
    ended = sorted((t for t in trials if t.record is not None), key=lambda trial: trial.number)
    last = ended[-2 * (1 + max_retries) :]
    states = {trial.state for trial in last}
    return len(last) == 2 * (1 + max_retries) and states == {State.failed}


def _fails_from_the_start(cell: Cell, trials: Sequence[BookedTrial]) -> bool:
    """Whether nothing but failures came: of candidates and given alphas some may, others not."""
    states = {trial.state for trial in trials if trial.record is not None}
    return states == {State.failed} and fails_always(trials, cell.settings.sweep.max_retries)


def _fit_for_a_law(state: CellState) -> bool:
    return state.bracketed and state.distinct_alphas >= ALPHAS_FOR_A_LAW


def _first_missing(
    alphas: Sequence[float],
    seeds: Sequence[int],
    trials: Sequence[BookedTrial],
    params: Mapping[str, Value] | None = None,
) -> NextTrial:
    wanted = dict(params or {})
    asked = [(alpha, seed) for alpha in alphas for seed in seeds]
    same = [trial for trial in trials if trial.params == wanted]
    tried = {(trial.l1_alpha, trial.seed) for trial in same}
    for alpha, seed in asked:
        if (alpha, seed) not in tried:
            return NextTrial(need=Need.given, seed=seed, l1_alpha=alpha, params=wanted)
    sound = {(trial.l1_alpha, trial.seed) for trial in same if trial.state != State.failed}
    return NextTrial(need=Need.nothing if sound.issuperset(asked) else Need.exhausted)


def _failed_to_retry(trials: Sequence[BookedTrial], max_retries: int) -> NextTrial | None:
    """The first failed trial that has not been repeated often enough."""
    for trial in trials:
        if trial.state != State.failed:
            continue
        same = [t for t in trials if _run_of(t) == _run_of(trial)]
        if any(t.is_running or t.state != State.failed for t in same):
            continue
        if len(same) <= max_retries:
            return NextTrial(
                need=Need.retry,
                seed=trial.seed,
                l1_alpha=trial.l1_alpha,
                params=trial.params,
                retry_of=trial.number,
            )
    return None


def _run_of(trial: BookedTrial) -> Hashable:
    """What makes two trials the same run."""
    return trial.recipe, trial.l1_alpha, trial.seed


def _log_error(cell: Cell, record: Mapping[str, Any]) -> float | None:
    l0 = record.get("l0")
    return None if l0 is None else signed_log_error(l0, cell.target_count)
