import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution

from sae.trainer_config import Controller
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.progress import Need, cell_state, next_trial
from sweeper.settings import Settings
from sweeper.space import SearchSpace
from sweeper.sweep_config import Goal


@pytest.fixture
def cell(settings_of: Callable[..., Settings]) -> Cell:
    settings = settings_of("target_l0=32", "sae.latent_dim=1024", "sweep.n_trials=4")
    return Cell(name="c", group="c", overrides=(), settings=settings)


SEARCHED = SearchSpace(searched={"batch": CategoricalDistribution((32, 64, 128))})


def trial(
    number: int,
    alpha: float,
    l0: float,
    *,
    seed: int = 0,
    state: str = "complete",
    batch: int | None = None,
) -> BookedTrial:
    record = {"state": state, "l0": l0 if state == "complete" else None, "fvu": 0.3 + alpha / 100}
    return BookedTrial(
        number=number,
        cell="c",
        l1_alpha=alpha,
        seed=seed,
        is_running=False,
        record=record,
        optuna_number=number,
        params={} if batch is None else {"batch": batch},
    )


def running(number: int, alpha: float) -> BookedTrial:
    return replace(trial(number, alpha, 1.0), is_running=True, record=None)


def with_sweep(cell: Cell, **changes: object) -> Cell:
    sweep = replace(cell.settings.sweep, **changes)  # type: ignore[arg-type]
    return replace(cell, settings=replace(cell.settings, sweep=sweep))


def test_next_trial_empty_cell_searches(cell: Cell) -> None:
    assert next_trial(cell, [], SearchSpace()).need is Need.land


def test_next_trial_landed_needs_nothing_for_goal_land(cell: Cell) -> None:
    assert next_trial(cell, [trial(0, 2.0, 33)], SearchSpace()).need is Need.nothing


def test_next_trial_landed_on_one_side_needs_bracket_for_goal_law(cell: Cell) -> None:
    law = with_sweep(cell, goal=Goal.law)
    assert next_trial(law, [trial(0, 2.0, 33)], SearchSpace()).need is Need.bracket


def test_next_trial_two_alphas_around_target_still_need_a_third_for_goal_law(cell: Cell) -> None:
    law = with_sweep(cell, goal=Goal.law)
    trials = [trial(0, 2.0, 33), trial(1, 2.5, 25)]
    assert next_trial(law, trials, SearchSpace()).need is Need.bracket
    assert next_trial(law, [*trials, trial(2, 1.8, 40)], SearchSpace()).need is Need.nothing


def test_next_trial_no_alpha_between_dense_and_diverged_ends_the_search(cell: Cell) -> None:
    near = [trial(0, 2.0, 100), trial(1, 2.03, 0, state="diverged")]
    assert next_trial(cell, near[:1], SearchSpace()).need is Need.land
    assert next_trial(cell, near, SearchSpace()).need is Need.exhausted
    apart = [trial(0, 2.0, 100), trial(1, 2.3, 0, state="diverged")]
    assert next_trial(cell, apart, SearchSpace()).need is Need.land


def test_cell_state_lands_with_the_run_nearest_to_the_target(cell: Cell) -> None:
    """Not with the densest in band, whose fvu is lower."""
    dense, near = trial(0, 2.0, 33.4), trial(1, 2.1, 32.2)
    assert cell_state(cell, [dense, near]).landed == near


def test_next_trial_budget_spent_is_exhausted(cell: Cell) -> None:
    missed = [trial(number, 1.0 + number, 100 - number) for number in range(4)]
    assert next_trial(cell, missed, SearchSpace()).need is Need.exhausted


def test_next_trial_replicates_landed_alpha_for_every_seed(cell: Cell) -> None:
    space = SearchSpace(seeds=(0, 1, 2))
    wanted = next_trial(cell, [trial(0, 2.0, 33)], space)
    assert (wanted.need, wanted.l1_alpha, wanted.seed) == (Need.given, 2.0, 1)
    done = [trial(0, 2.0, 33), trial(1, 2.0, 34, seed=1), trial(2, 2.0, 35, seed=2)]
    assert next_trial(cell, done, space).need is Need.nothing


def test_next_trial_grid_runs_each_alpha_and_seed_once(cell: Cell) -> None:
    space = SearchSpace(seeds=(0, 1), alpha_grid=(1.0, 2.0))
    trials: list[BookedTrial] = []
    while (wanted := next_trial(cell, trials, space)).need is Need.given:
        assert wanted.l1_alpha is not None
        trials.append(trial(len(trials), wanted.l1_alpha, 500, seed=wanted.seed))
    assert [(t.l1_alpha, t.seed) for t in trials] == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_next_trial_given_alpha_is_confirmed_with_further_seeds(cell: Cell) -> None:
    given = with_sweep(replace(cell, settings=replace(cell.settings, l1_alpha=2.0)), confirm=1)
    wanted = next_trial(given, [trial(0, 2.0, 90)], SearchSpace())
    assert (wanted.need, wanted.l1_alpha, wanted.seed) == (Need.given, 2.0, 1)
    both = [trial(0, 2.0, 90), trial(1, 2.0, 91, seed=1)]
    assert next_trial(given, both, SearchSpace()).need is Need.nothing


def test_next_trial_k_that_sets_l0_is_confirmed_with_further_seeds(
    settings_of: Callable[..., Settings],
) -> None:
    topk = settings_of("sae=topk", "target_l0=32", "sweep.confirm=1")
    cell = Cell(name="c", group="c", overrides=(), settings=topk)
    wanted = next_trial(cell, [trial(0, 0.0, 32)], SearchSpace())
    assert (wanted.need, wanted.l1_alpha, wanted.seed) == (Need.given, 0.0, 1)


@pytest.mark.parametrize("state", ["diverged", "pruned"])
def test_next_trial_given_alphas_without_a_complete_run_are_exhausted(
    cell: Cell, state: str
) -> None:
    given = replace(cell, settings=replace(cell.settings, l1_alpha=2.0))
    ended = trial(0, 2.0, 0, state=state)
    assert next_trial(given, [ended], SearchSpace()).need is Need.exhausted
    grid = SearchSpace(alpha_grid=(1.0, 2.0))
    assert next_trial(cell, [running(1, 1.0), ended], grid).need is Need.nothing
    assert next_trial(cell, [trial(1, 1.0, 90), ended], grid).need is Need.nothing
    none_ended = [trial(1, 1.0, 0, state=state), ended]
    assert next_trial(cell, none_ended, grid).need is Need.exhausted


@pytest.mark.parametrize(("l0", "need"), [(32, Need.nothing), (20, Need.exhausted)])
def test_next_trial_k_that_sets_l0_must_land(
    settings_of: Callable[..., Settings], l0: float, need: Need
) -> None:
    cell = Cell(
        name="c", group="c", overrides=(), settings=settings_of("sae=topk", "target_l0=32")
    )
    assert next_trial(cell, [trial(0, 0.0, l0)], SearchSpace()).need is need


@pytest.mark.parametrize(("l0", "need"), [(32, Need.given), (90, Need.nothing)])
def test_next_trial_grid_is_confirmed_where_it_landed(cell: Cell, l0: float, need: Need) -> None:
    space = SearchSpace(alpha_grid=(1.0, 2.0))
    runs = [trial(0, 1.0, 150), trial(1, 2.0, l0)]
    wanted = next_trial(with_sweep(cell, confirm=1), runs, space)
    assert wanted.need is need
    assert (wanted.l1_alpha, wanted.seed) == ((2.0, 1) if need is Need.given else (None, 0))


def test_next_trial_failed_is_repeated_as_often_as_allowed(cell: Cell) -> None:
    once = [trial(0, 2.0, 0, state="failed")]
    wanted = next_trial(cell, once, SearchSpace())
    assert (wanted.need, wanted.l1_alpha, wanted.retry_of) == (Need.retry, 2.0, 0)
    retry = trial(1, 2.0, 0, state="failed")
    twice = [*once, replace(retry, retry_of=0)]
    assert next_trial(cell, twice, SearchSpace()).need is Need.land


def test_next_trial_two_runs_that_failed_with_all_their_repetitions_end_the_search(
    cell: Cell,
) -> None:
    failed = [trial(number, 2.0 + number // 2, 0, state="failed") for number in range(4)]
    failed = [replace(each, retry_of=each.number - each.number % 2) for each in failed]
    assert next_trial(cell, failed[:3], SearchSpace()).need is Need.retry
    assert next_trial(cell, failed, SearchSpace()).need is Need.exhausted


@pytest.mark.parametrize(
    "space", [SEARCHED, SearchSpace(alpha_grid=(2.0, 3.0, 4.0))], ids=["candidates", "grid"]
)
def test_next_trial_where_every_run_fails_ends_after_two_whatever_is_tried(
    cell: Cell, space: SearchSpace
) -> None:
    batches = (32, 32, 64, 64) if space.searched else (None,) * 4
    failed = [
        trial(number, 2.0 + number // 2, 0, state="failed", batch=batch)
        for number, batch in enumerate(batches)
    ]
    failed = [replace(each, retry_of=each.number - each.number % 2) for each in failed]
    roomy = with_sweep(cell, n_trials=20)
    assert next_trial(roomy, failed, space).need is Need.exhausted
    one_ended = [trial(4, 2.0, 36, batch=batches[0]), *failed[2:]]
    assert next_trial(roomy, one_ended, space).need.starts_a_trial


def test_next_trial_alpha_proposed_again_ends_the_search(cell: Cell) -> None:
    stuck = [trial(0, 2.0, 100), trial(1, 9.0, 99), trial(2, 9.0, 99)]
    assert next_trial(cell, stuck, SearchSpace()).need is Need.exhausted


def test_next_trial_retry_that_is_running_is_not_started_twice(cell: Cell) -> None:
    patient = with_sweep(cell, max_retries=5)
    trials = [trial(0, 2.0, 0, state="failed"), running(1, 2.0)]
    assert next_trial(patient, trials, SearchSpace()).need is Need.land


def test_next_trial_grid_does_not_repeat_what_is_running(cell: Cell) -> None:
    space = SearchSpace(alpha_grid=(1.0, 2.0))
    assert next_trial(cell, [running(0, 1.0)], space).l1_alpha == 2.0
    both = [running(0, 1.0), running(1, 2.0)]
    assert next_trial(cell, both, space).need is Need.nothing


def test_next_trial_running_trials_count_towards_the_budget(cell: Cell) -> None:
    trials = [running(number, 1.0 + number) for number in range(4)]
    assert next_trial(cell, trials, SearchSpace()).need is Need.exhausted


def test_next_trial_alpha_that_is_running_does_not_end_the_search(cell: Cell) -> None:
    trials = [trial(0, 2.0, 100), running(1, 2.0)]
    assert next_trial(cell, trials, SearchSpace()).need is Need.land


def test_next_trial_bracket_waits_for_what_may_complete_it(cell: Cell) -> None:
    law = with_sweep(cell, goal=Goal.law)
    assert (
        next_trial(law, [trial(0, 2.0, 33), running(1, 3.0)], SearchSpace()).need is Need.bracket
    )
    trials = [trial(0, 2.0, 33), running(1, 3.0), running(2, 1.5)]
    assert next_trial(law, trials, SearchSpace()).need is Need.wait


def test_next_trial_diverged_is_not_repeated(cell: Cell) -> None:
    wanted = next_trial(cell, [trial(0, 2.0, 0, state="diverged")], SearchSpace())
    assert wanted.need is Need.land


def test_cell_state_lands_on_lowest_fvu_in_band(cell: Cell) -> None:
    trials = [trial(0, 2.2, 31), trial(1, 2.0, 33), trial(2, 1.0, 60)]
    state = cell_state(cell, trials)
    assert state.landed is not None
    assert state.landed.number == 1


@pytest.mark.parametrize(("l0", "is_in"), [(32 * 1.05, True), (32 * 1.06, False), (0.0, False)])
def test_cell_state_band_edges(cell: Cell, l0: float, is_in: bool) -> None:
    state = cell_state(cell, [trial(0, 2.0, l0)])
    assert (state.landed is not None) is is_in


def test_cell_state_nearest_is_by_log_distance(cell: Cell) -> None:
    nearest = cell_state(cell, [trial(0, 1.0, 64), trial(1, 3.0, 20)]).nearest
    assert nearest is not None
    assert nearest.number == 1
    assert math.log(32 / 20) < math.log(64 / 32)


@pytest.fixture
def fvu_cell(cell: Cell) -> Cell:
    return with_sweep(cell, goal=Goal.fvu)


def test_next_trial_goal_fvu_starts_with_a_candidate_of_optunas(fvu_cell: Cell) -> None:
    wanted = next_trial(fvu_cell, [], SEARCHED)
    assert (wanted.need, wanted.l1_alpha, wanted.params) == (Need.improve, None, {})


def test_next_trial_goal_fvu_brings_the_best_candidate_into_band(fvu_cell: Cell) -> None:
    missed = [trial(0, 2.0, 36, batch=64), trial(1, 9.0, 24, batch=32)]
    wanted = next_trial(fvu_cell, missed, SEARCHED)
    assert (wanted.need, wanted.params) == (Need.land, {"batch": 64})
    landed = [*missed, trial(2, 2.2, 32, batch=64)]
    assert next_trial(fvu_cell, landed, SEARCHED).need is Need.improve


def test_next_trial_goal_fvu_goes_on_until_the_budget_is_spent(fvu_cell: Cell) -> None:
    runs = [trial(number, 2.0 + number, 32, batch=64) for number in range(4)]
    assert next_trial(fvu_cell, runs[:3], SEARCHED).need is Need.improve
    assert next_trial(fvu_cell, runs, SEARCHED).need is Need.nothing


def test_next_trial_goal_fvu_ends_when_every_candidate_was_tried(fvu_cell: Cell) -> None:
    runs = [trial(n, 2.0 + n, 32, batch=batch) for n, batch in enumerate((32, 64, 128))]
    assert next_trial(fvu_cell, runs, SEARCHED).need is Need.nothing


def test_next_trial_goal_fvu_without_a_run_in_band_is_exhausted(fvu_cell: Cell) -> None:
    runs = [trial(number, 2.0 + number, 90, batch=64) for number in range(4)]
    assert next_trial(fvu_cell, runs, SEARCHED).need is Need.exhausted


def test_next_trial_goal_fvu_repeats_the_best_candidate_for_every_seed(fvu_cell: Cell) -> None:
    space = replace(SEARCHED, seeds=(0, 1))
    runs = [trial(n, 2.0 + n, 32, batch=batch) for n, batch in enumerate((32, 64, 128))]
    wanted = next_trial(fvu_cell, runs, space)
    assert (wanted.need, wanted.l1_alpha, wanted.params, wanted.seed) == (
        Need.given,
        2.0,
        {"batch": 32},
        1,
    )


def test_next_trial_goal_fvu_keeps_an_alpha_that_is_fixed(fvu_cell: Cell) -> None:
    fixed = replace(fvu_cell, settings=replace(fvu_cell.settings, l1_alpha=3.0))
    wanted = next_trial(fixed, [trial(0, 3.0, 90, batch=64)], SEARCHED)
    assert (wanted.need, wanted.l1_alpha) == (Need.improve, 3.0)


def test_next_trial_goal_land_with_searched_keys_stops_at_the_first_landing(cell: Cell) -> None:
    assert next_trial(cell, [trial(0, 2.0, 90, batch=64)], SEARCHED).need is Need.improve
    assert next_trial(cell, [trial(0, 2.0, 32, batch=64)], SEARCHED).need is Need.nothing


def test_next_trial_failed_candidate_is_repeated_as_it_was(fvu_cell: Cell) -> None:
    runs = [trial(0, 2.0, 0, state="failed", batch=64), trial(1, 2.0, 32, batch=32)]
    wanted = next_trial(fvu_cell, runs, SEARCHED)
    assert (wanted.retry_of, wanted.params) == (0, {"batch": 64})


def test_cell_state_dense_edge_of_the_band_wins_nothing_where_recipes_compete(cell: Cell) -> None:
    dense, sparse = trial(0, 2.0, 33.5, batch=64), trial(1, 2.0, 31, batch=32)
    records = [
        {"state": "complete", "l0": l0, "fvu": fvu} for l0, fvu in ((33.5, 0.3), (31, 0.303))
    ]
    both = [replace(t, record=r) for t, r in zip((dense, sparse), records, strict=True)]
    landed = cell_state(cell, both).landed
    assert landed is not None
    assert landed.number == 1


def test_next_trial_known_alphas_run_before_the_search(cell: Cell) -> None:
    known = with_sweep(cell, enqueue=[2.5, 1.8])
    assert next_trial(known, [], SearchSpace()).l1_alpha == 2.5
    second = next_trial(known, [trial(0, 2.5, 90)], SearchSpace())
    assert (second.need, second.l1_alpha) == (Need.given, 1.8)
    both = [trial(0, 2.5, 90), trial(1, 1.8, 99)]
    assert next_trial(known, both, SearchSpace()).need is Need.land


def test_next_trial_known_alpha_of_an_answered_or_spent_cell_is_run_once(cell: Cell) -> None:
    known = with_sweep(cell, enqueue={"c": [2.5, 1.8], "other": [9.0]}, n_trials=1)
    for l0 in (32, 90):  # in band, and not
        wanted = next_trial(known, [trial(0, 2.5, l0)], SearchSpace())
        assert (wanted.need, wanted.l1_alpha) == (Need.given, 1.8)
    both = [trial(0, 2.5, 32), trial(1, 1.8, 99)]
    assert next_trial(known, both, SearchSpace()).need is Need.nothing


def test_next_trial_known_alphas_end_where_every_trial_fails(cell: Cell) -> None:
    known = with_sweep(cell, enqueue=[2.5, 1.8, 1.5], max_retries=0)
    failed = [trial(number, alpha, 0, state="failed") for number, alpha in enumerate((2.5, 1.8))]
    assert next_trial(known, failed, SearchSpace()).need is Need.exhausted


def test_next_trial_known_alphas_of_another_cell_are_not_run(cell: Cell) -> None:
    known = with_sweep(cell, enqueue={"other": [9.0]})
    assert next_trial(known, [], SearchSpace()).need is Need.land


def test_next_trial_goal_fvu_repeats_no_run_that_steers_alpha(fvu_cell: Cell) -> None:
    trainer = replace(fvu_cell.settings.trainer, controller=Controller.l0)
    steered = replace(fvu_cell, settings=replace(fvu_cell.settings, trainer=trainer))
    assert next_trial(steered, [trial(0, 2.0, 36, batch=64)], SEARCHED).need is Need.improve


@pytest.fixture
def steered_cell(cell: Cell) -> Cell:
    trainer = replace(cell.settings.trainer, controller=Controller.l0)
    return replace(cell, settings=replace(cell.settings, trainer=trainer))


def test_next_trial_steered_runs_once_for_each_seed(steered_cell: Cell) -> None:
    confirmed = with_sweep(steered_cell, confirm=1)
    assert next_trial(confirmed, [], SearchSpace()).need is Need.land
    wanted = next_trial(confirmed, [trial(0, 2.0, 32)], SearchSpace())
    assert (wanted.need, wanted.l1_alpha, wanted.seed) == (Need.given, 2.0, 1)
    both = [trial(0, 2.0, 32), trial(1, 2.0, 90, seed=1)]
    assert next_trial(confirmed, both, SearchSpace()).need is Need.nothing


def test_next_trial_steered_run_that_missed_is_not_repeated(steered_cell: Cell) -> None:
    assert next_trial(steered_cell, [running(0, 2.0)], SearchSpace()).need is Need.nothing
    assert next_trial(steered_cell, [trial(0, 2.0, 90)], SearchSpace()).need is Need.exhausted


def test_next_trial_steered_from_a_given_alpha_must_land(steered_cell: Cell) -> None:
    given = replace(steered_cell, settings=replace(steered_cell.settings, l1_alpha=3.0))
    assert next_trial(given, [], SearchSpace()).l1_alpha == 3.0
    assert next_trial(given, [trial(0, 3.0, 90)], SearchSpace()).need is Need.exhausted


def test_next_trial_steered_runs_reach_no_law(steered_cell: Cell) -> None:
    law = with_sweep(steered_cell, goal=Goal.law)
    assert next_trial(law, [trial(0, 2.0, 32)], SearchSpace()).need is Need.exhausted


def test_next_trial_repetition_that_diverged_is_not_repeated(cell: Cell) -> None:
    failed = trial(0, 2.0, 0.0, state="failed")
    diverged = replace(trial(1, 2.0, 0.0, state="diverged"), retry_of=0)
    allowing = with_sweep(cell, max_retries=2)
    assert next_trial(allowing, [failed, diverged], SearchSpace()).need is not Need.retry


def test_next_trial_goal_land_brings_a_candidate_into_band_once_all_were_tried(
    cell: Cell,
) -> None:
    tried = [trial(n, 2.0, 50.0 + n, batch=batch) for n, batch in enumerate((32, 64, 128))]
    wanted = next_trial(with_sweep(cell, n_trials=12), tried, SEARCHED)
    assert (wanted.need, wanted.params) == (Need.land, {"batch": 32})


def pruned(number: int, alpha: float, batch: int) -> BookedTrial:
    return trial(number, alpha, 0.0, state="pruned", batch=batch)


def test_next_trial_goal_fvu_candidate_that_was_pruned_is_asked_for_another_alpha(
    fvu_cell: Cell,
) -> None:
    roomy = with_sweep(fvu_cell, n_trials=20)
    tried = [pruned(n, 2.0, batch) for n, batch in enumerate((32, 64, 128))]
    wanted = next_trial(roomy, tried, SEARCHED)
    assert (wanted.need, wanted.params) == (Need.land, {"batch": 32})
    landed = [*tried, trial(3, 3.0, 32, batch=32)]
    wanted = next_trial(roomy, landed, SEARCHED)
    assert (wanted.need, wanted.params) == (Need.land, {"batch": 64})


def test_next_trial_goal_land_candidate_that_was_pruned_runs_again_once_all_were_tried(
    cell: Cell,
) -> None:
    roomy = with_sweep(cell, n_trials=20)
    tried = [pruned(n, 2.0, batch) for n, batch in enumerate((32, 64, 128))]
    assert next_trial(roomy, tried[:2], SEARCHED).need is Need.improve
    wanted = next_trial(roomy, tried, SEARCHED)
    assert (wanted.need, wanted.params) == (Need.land, {"batch": 32})


def test_next_trial_candidate_pruned_again_and_again_is_given_up(fvu_cell: Cell) -> None:
    roomy = with_sweep(fvu_cell, n_trials=20)
    hopeless = [pruned(n, 2.0 + n, 32) for n in range(4)]
    assert next_trial(roomy, hopeless[:3], SEARCHED).need is Need.land
    assert next_trial(roomy, hopeless, SEARCHED).need is Need.improve


def test_next_trial_goal_fvu_leaves_a_candidate_whose_alpha_comes_again(fvu_cell: Cell) -> None:
    roomy = with_sweep(fvu_cell, n_trials=20)
    at_the_end = [trial(0, 2.0, 36, batch=64), trial(1, 2.0, 36, batch=64)]
    assert next_trial(roomy, at_the_end[:1], SEARCHED).need is Need.land
    assert next_trial(roomy, at_the_end, SEARCHED).need is Need.improve


def test_next_trial_candidate_pruned_at_the_same_alpha_again_is_given_up(fvu_cell: Cell) -> None:
    roomy = with_sweep(fvu_cell, n_trials=20)
    assert next_trial(roomy, [pruned(n, 2.0, 32) for n in range(2)], SEARCHED).need is Need.improve


def test_next_trial_candidate_that_was_pruned_and_diverged_is_given_up(fvu_cell: Cell) -> None:
    broken = [pruned(0, 2.0, 32), trial(1, 3.0, 0.0, state="diverged", batch=32)]
    assert next_trial(fvu_cell, broken, SEARCHED).need is Need.improve


def of_sibling(trial: BookedTrial) -> BookedTrial:
    """The same for another target of the group."""
    return replace(trial, cell="sibling")


def test_next_trial_alpha_that_another_target_came_to_again_does_not_end_the_search(
    cell: Cell,
) -> None:
    stuck = [trial(0, 0.5, 60), trial(1, 0.1, 62), trial(2, 0.1, 62)]
    assert next_trial(cell, stuck, SearchSpace()).need is Need.exhausted
    assert next_trial(cell, [of_sibling(t) for t in stuck], SearchSpace()).need is Need.land


def test_next_trial_goal_fvu_runs_for_other_targets_and_seeds_use_up_no_candidate(
    fvu_cell: Cell,
) -> None:
    runs = [
        *(of_sibling(trial(number, 4.0 + number, 16, batch=64)) for number in range(3)),
        *(trial(3 + seed, 2.0, 36, batch=64, seed=seed) for seed in (1, 2, 3)),
    ]
    wanted = next_trial(fvu_cell, runs, SEARCHED)
    assert (wanted.need, wanted.params) == (Need.land, {"batch": 64})


def test_cell_state_further_seeds_of_the_answer_do_not_take_its_place(fvu_cell: Cell) -> None:
    def run(number: int, l0: float, fvu: float, batch: int, seed: int = 0) -> BookedTrial:
        found = trial(number, 2.0, l0, batch=batch, seed=seed)
        return replace(found, record={"state": "complete", "l0": l0, "fvu": fvu})

    searched = [run(0, 32.5, 0.400, 32), run(1, 32.5, 0.405, 64)]
    unlucky = run(2, 32.0, 0.410, 32, seed=1)  # nearer to the target
    landed = cell_state(fvu_cell, [*searched, unlucky]).landed
    assert landed is not None
    assert landed.number == 0
