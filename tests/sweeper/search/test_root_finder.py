from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.errors import SweepError
from sweeper.search.alpha_rule import Situation, StrengthRule
from sweeper.search.curve_model import DEFAULT_SHAPE
from sweeper.search.observations import Observation, Pending, Relation, observe
from sweeper.search.posterior import Root
from sweeper.search.prior import PriorComponent, mixture
from sweeper.search.root_finder import (
    Beliefs,
    chance_next_lands,
    propose,
    propose_bracket,
)

WIDTH = 1024
Curve = Callable[[float], float]


def beliefs_at(mean: float, sd: float = 0.5) -> Beliefs:
    return Beliefs(components=mixture([PriorComponent(name="theory", mean=mean, sd=sd)]))


def root_at(prior: float, target: float = 32.0, decades: float = 2.0) -> Root:
    reach = decades * log(10)
    return Root(latent_dim=WIDTH, target=target, bounds=(prior - reach, prior + reach))


def seen(u: float, l0: float) -> Observation:
    return observe(ln_alpha=u, latent_dim=WIDTH, l0=l0)


def is_landed(trials: Sequence[Observation], root: Root) -> bool:
    return any(
        t.relation is Relation.equal and abs(t.ln_l0 - root.ln_target) <= root.band for t in trials
    )


def search(curve: Curve, prior: float, root: Root, most: int = 20) -> list[Observation]:
    trials: list[Observation] = []
    while not is_landed(trials, root) and len(trials) < most:
        u = propose(trials, [], beliefs_at(prior), root).ln_alpha
        trials.append(seen(u, exp(curve(u))))
    return trials


def stretched(ceiling: float, power: float) -> Curve:
    return lambda u: log(ceiling) - exp(power * u)


def hill(ceiling: float, slope: float, floor: float = 0.0) -> Curve:
    return lambda u: log(floor + (ceiling - floor) / (1 + exp(slope * u)))


def test_propose_without_trials_is_the_heaviest_component():
    components = mixture(
        [
            PriorComponent(name="theory", mean=1.0, sd=0.5),
            PriorComponent(name="guide", mean=-7.0, sd=0.7, weight=0.05),
        ]
    )
    proposal = propose([], [], Beliefs(components=components), root_at(1.0))
    assert (proposal.ln_alpha, proposal.reason) == (1.0, "prior")


def test_propose_reports_weights_that_sum_to_one():
    proposal = propose([seen(1.0, 20.0)], [], beliefs_at(1.0), root_at(1.0))
    assert set(proposal.weights) == {"theory", "broad"}
    assert sum(proposal.weights.values()) == pytest.approx(1)


def test_propose_after_a_miss_of_decades_leaves_the_component_that_erred():
    trials = [seen(-1.3, 380.0), seen(1.9, 10.0)]
    assert propose(trials, [], beliefs_at(-1.3), root_at(-1.3)).weights["broad"] > 0.9


def test_propose_on_a_power_law_is_exact_at_the_third_trial():
    def curve(u: float) -> float:
        return log(32.0) - 1.4 * (u - 0.3)

    trials = [seen(u, exp(curve(u))) for u in (0.0, 0.5)]
    proposal = propose(trials, [], beliefs_at(0.0), root_at(0.0))
    assert proposal.ln_alpha == pytest.approx(0.3, abs=0.03)
    assert proposal.predicted_ln_l0 == pytest.approx(log(32.0), abs=0.02)


@pytest.mark.parametrize("offset", [-log(10), log(10)])
@pytest.mark.parametrize(
    "curve",
    [stretched(75, 1.0), stretched(400, 0.5), hill(400, 1.0), hill(400, 2.5), hill(400, 1.5, 26)],
    ids=["exponential", "stretched", "Hill 1", "Hill 2.5", "floor"],
)
def test_search_of_a_prior_ten_times_off_lands_within_eight_trials(curve: Curve, offset: float):
    us = np.linspace(-12, 12, 24001)
    true = us[np.argmin([abs(curve(u) - log(32)) for u in us])]
    prior = float(true) + offset
    assert len(search(curve, prior, root_at(prior))) <= 8


@settings(deadline=None, max_examples=15)
@given(
    ceiling=st.floats(150, 900),
    slope=st.floats(0.4, 3.0),
    offset=st.floats(-2.5, 2.5),
)
def test_search_of_any_hill_curve_lands(ceiling: float, slope: float, offset: float):
    true = log(ceiling / 32 - 1) / slope
    prior = true + offset
    trials = search(hill(ceiling, slope), prior, root_at(prior), most=12)
    assert len(trials) < 12


@settings(deadline=None, max_examples=25)
@given(
    points=st.lists(
        st.tuples(st.floats(-4, 4), st.one_of(st.just(0.0), st.floats(1e-4, 1000))), max_size=6
    ),
    running=st.lists(st.floats(-4, 4), max_size=3),
)
def test_propose_after_any_trials_stays_inside_the_bounds(
    points: list[tuple[float, float]], running: list[float]
):
    root = root_at(0.0, decades=1.0)
    pending = [Pending(ln_alpha=u, latent_dim=WIDTH) for u in running]
    proposal = propose([seen(*p) for p in points], pending, beliefs_at(0.0), root)
    assert root.bounds[0] <= proposal.ln_alpha <= root.bounds[1]
    assert np.isfinite(proposal.predicted_ln_l0)
    assert proposal.predicted_ln_l0_sd > 0


@settings(deadline=None, max_examples=20)
@given(low=st.floats(-3, 0.9), dense=st.floats(40, 900), sparse=st.floats(0.01, 25))
def test_propose_between_a_dense_and_a_sparse_trial_stays_between(
    low: float, dense: float, sparse: float
):
    trials = [seen(low, dense), seen(1.0, sparse)]
    assert low < propose(trials, [], beliefs_at(0.0), root_at(0.0)).ln_alpha < 1.0


def test_propose_of_a_model_that_leaves_the_bracket_is_held_inside():
    noisy = [seen(0.80 + 0.05 * k, 31.5) for k in range(4)]
    trials = [*noisy, seen(1.0, 32 * 1.08), seen(2.0, 10.0)]
    proposal = propose(trials, [], beliefs_at(0.9), root_at(0.9))
    assert proposal.reason == "bracket"
    assert 1.0 < proposal.ln_alpha < 1.1


@settings(deadline=None, max_examples=10)
@given(shift=st.floats(-8, 8))
def test_propose_in_other_units_of_alpha_moves_with_them(shift: float):
    trials = [(-0.5, 80.0), (0.4, 20.0)]
    here = propose([seen(*t) for t in trials], [], beliefs_at(0.0), root_at(0.0))
    moved = [seen(u + shift, l0) for u, l0 in trials]
    there = propose(moved, [], beliefs_at(shift), root_at(shift))
    assert there.ln_alpha - shift == pytest.approx(here.ln_alpha, abs=0.02)


def test_propose_of_a_bracket_that_does_not_shrink_bisects_it():
    trials = [seen(-4, 300), seen(4, 1)] + [seen(3.9 - 0.01 * k, 1) for k in range(3)]
    proposal = propose(trials, [], beliefs_at(3.9), root_at(0.0))
    assert proposal.reason == "bisection"
    assert proposal.ln_alpha == pytest.approx(0.5 * (-4 + 3.88))


def test_propose_after_a_bound_below_the_target_goes_to_a_smaller_alpha():
    bound = Observation(ln_alpha=0.0, latent_dim=WIDTH, ln_l0=log(1e-3), relation=Relation.below)
    assert propose([bound], [], beliefs_at(0.0), root_at(0.0)).ln_alpha < -0.5


def test_propose_after_a_bound_above_the_target_goes_to_a_larger_alpha():
    bound = Observation(ln_alpha=0.0, latent_dim=WIDTH, ln_l0=log(150), relation=Relation.above)
    assert propose([bound], [], beliefs_at(0.0), root_at(0.0)).ln_alpha > 0.3


def test_propose_beside_a_pending_trial_is_elsewhere():
    pending = [Pending(ln_alpha=0.0, latent_dim=WIDTH)]
    second = propose([], pending, beliefs_at(0.0), root_at(0.0)).ln_alpha
    third = propose(
        [], [*pending, Pending(ln_alpha=second, latent_dim=WIDTH)], beliefs_at(0.0), root_at(0.0)
    ).ln_alpha
    assert abs(second) > 0.1
    assert min(abs(third), abs(third - second)) > 0.1


def test_propose_of_equal_input_is_equal():
    trials = [seen(-0.5, 80.0), seen(0.4, 20.0)]
    assert propose(trials, [], beliefs_at(0.0), root_at(0.0)) == propose(
        trials, [], beliefs_at(0.0), root_at(0.0)
    )


def complete(trials: Sequence[tuple[float, float]]) -> list[Observation]:
    return [seen(u, l0) for u, l0 in trials]


def test_propose_bracket_of_a_landed_cell_tries_the_missing_side():
    proposal = propose_bracket(
        complete([(-0.5, 80.0), (0.0, 33.0)]), [], beliefs_at(0.0), root_at(0.0)
    )
    assert proposal is not None
    assert proposal.predicted_ln_l0 - log(32) == pytest.approx(-log(1.35), abs=0.03)
    assert proposal.reason == "beyond"


def test_propose_bracket_of_two_alphas_on_both_sides_wants_a_third():
    proposal = propose_bracket(
        complete([(-0.02, 33.0), (0.01, 31.5)]), [], beliefs_at(0.0), root_at(0.0)
    )
    assert proposal is not None
    assert proposal.reason == "third alpha"


def test_propose_bracket_third_alpha_goes_where_only_the_landed_run_lies():
    landed_a_little_sparse = complete([(-0.3, 43.0), (0.01, 31.0)])
    proposal = propose_bracket(landed_a_little_sparse, [], beliefs_at(0.0), root_at(0.0))
    assert proposal is not None
    assert proposal.reason == "third alpha"
    assert proposal.predicted_ln_l0 < log(32)


def test_propose_bracket_counts_replicates_as_one_alpha():
    trials = complete([(0.0, 33.0), (0.0, 31.5), (0.1, 28.0)])
    assert propose_bracket(trials, [], beliefs_at(0.0), root_at(0.0)) is not None


def test_propose_bracket_of_three_alphas_on_both_sides_wants_nothing():
    trials = complete([(-0.5, 80.0), (0.0, 33.0), (0.3, 20.0)])
    assert propose_bracket(trials, [], beliefs_at(0.0), root_at(0.0)) is None


def test_propose_bracket_counts_a_pending_trial_where_it_should_end():
    trials = complete([(-0.5, 80.0), (0.0, 33.0)])
    pending = [Pending(ln_alpha=0.5, latent_dim=WIDTH)]
    assert propose_bracket(trials, pending, beliefs_at(0.0), root_at(0.0)) is None


def test_propose_bracket_leads_to_a_law_within_three_more_trials():
    curve, root = hill(400, 1.5), root_at(1.6)
    trials = search(curve, 1.6, root)
    for _ in range(3):
        proposal = propose_bracket(trials, [], beliefs_at(1.6), root)
        if proposal is None:
            break
        trials.append(seen(proposal.ln_alpha, exp(curve(proposal.ln_alpha))))
    assert {t.ln_l0 > root.ln_target for t in trials} == {True, False}
    assert len({t.ln_alpha for t in trials}) >= 3


def test_propose_steps_well_inside_an_end_that_only_diverged():
    """Just inside it a run would most likely diverge again."""
    root = root_at(1.6)
    diverged = replace(seen(1.55, root.target), relation=Relation.below)
    dense = seen(1.0, 300.0)
    wanted = propose([dense, diverged], [], beliefs_at(1.6, sd=0.01), root).ln_alpha
    assert 1.0 < wanted <= 1.55 - 0.35 * 0.55 + 1e-9
    complete = propose([dense, seen(1.55, 20.0)], [], beliefs_at(1.6, sd=0.01), root)
    assert complete.ln_alpha > wanted


def test_propose_believes_a_complete_run_rather_than_a_projection_that_contradicts_it():
    """Layer 1, width 2048: a projection was off by a third, and the search left by 7.5 times."""
    projected = replace(seen(log(1.107), 22.1), noise_sd=0.108, is_complete=False)
    complete = seen(log(0.8505), 21.8)
    steep = replace(DEFAULT_SHAPE, ln_elasticity=log(1.3), ln_elasticity_sd=0.25)
    beliefs = replace(beliefs_at(log(0.8)), shape=steep)
    u = propose([projected, complete], [], beliefs, root_at(log(0.8))).ln_alpha
    assert exp(u) == pytest.approx(0.618, rel=0.15)  # ran at 31.3


def test_chance_next_lands_of_a_well_known_root_is_that_of_the_noise():
    trials = [seen(u, 32 * exp(-1.5 * u)) for u in np.linspace(-0.3, 0.3, 9)]
    chance = chance_next_lands(0.0, trials, beliefs_at(0.0), root_at(0.0))
    assert chance == pytest.approx(0.97, abs=0.02)  # P(|0.02 z| < ln 1.05) is 0.985
    assert chance_next_lands(0.3, trials, beliefs_at(0.0), root_at(0.0)) < 0.01


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("target", 0.0, "target_l0 must be more than 0"),
        ("target", 1024.0, "target_l0 must be more than 0 and fewer than"),
        ("bounds", (1.0, 0.0), "l1_alpha must be an interval from low to high"),
        ("tolerance", 0.0, r"sweep.tolerance must be positive, but got 0.0"),
    ],
)
def test_root_of_impossible_numbers_is_refused(field: str, value: Any, message: str):
    numbers: dict[str, Any] = {"latent_dim": 1024, "target": 32.0, "bounds": (0.0, 1.0)}
    with pytest.raises(SweepError, match=message):
        Root(**numbers | {field: value})


def test_propose_beside_a_running_trial_at_the_bracket_s_end_is_another_alpha() -> None:
    root = Root(latent_dim=1024, target=32.0, bounds=(-5.0, 5.0))
    dense = Observation(ln_alpha=0.0, latent_dim=1024, ln_l0=log(200.0))
    diverged = Observation(ln_alpha=0.1, latent_dim=1024, ln_l0=log(32.0), relation=Relation.below)
    beliefs = Beliefs(components=[PriorComponent(name="p", mean=2.0, sd=0.5)])
    pending: list[Pending] = []
    for _ in range(3):
        found = propose([dense, diverged], pending, beliefs, root).ln_alpha
        assert 0.0 < found < 0.1
        assert all(abs(found - other.ln_alpha) > 0.01 for other in pending)
        pending.append(Pending(ln_alpha=found, latent_dim=1024))


def held_above(target: float, gain: float) -> Curve:
    """Of the quadratic penalty at d_in 384: never below the target, however large alpha is."""
    return lambda u: log(target * (1.025 + gain * 384 * exp(-u)))


def strength_search(curve: Curve, start: float, most: int) -> list[Observation]:
    rule = StrengthRule(name="measured")
    mean = rule.ln_alpha(
        Situation(d_in=384, latent_dim=WIDTH, target_count=32, learning_rate=1, total_steps=1)
    )
    beliefs = Beliefs(
        components=mixture([PriorComponent(name="measured", mean=mean, sd=0.5)]),
        shape=rule.shape(mean, WIDTH, 1.0),
    )
    root = root_at(mean)
    trials = [seen(start, exp(curve(start)))]
    while not is_landed(trials, root) and len(trials) < most:
        u = propose(trials, [], beliefs, root).ln_alpha
        trials.append(seen(u, exp(curve(u))))
    return trials


@pytest.mark.parametrize("start", [log(3.46), log(128), log(384)])
def test_propose_for_a_strength_after_a_weak_one_lands_at_once(start: float):
    trials = strength_search(held_above(32.0, 0.03), start, 2)
    assert is_landed(trials, root_at(trials[-1].ln_alpha))


@pytest.mark.parametrize("start", [log(3.46), log(9 * 384)])
def test_propose_for_a_strength_where_ten_times_more_is_needed_lands_in_three(start: float):
    trials = strength_search(held_above(32.0, 0.3), start, 3)
    assert is_landed(trials, root_at(trials[-1].ln_alpha))


def test_propose_for_a_strength_that_never_lands_stays_in_its_interval():
    trials = strength_search(lambda _: log(36.0), log(9 * 384), 12)
    assert max(t.ln_alpha for t in trials) <= log(9 * 384) + 2 * log(10) + 1e-9
