import math
from typing import Any

import pytest

from sweeper.booked_trial import BookedTrial
from sweeper.evidence import OTHER_RECIPE_SD, KnownObservations, observations, observed
from sweeper.search.observations import SEED_NOISE_SD, Relation


def record(**changes: Any) -> dict[str, Any]:
    return {
        "state": "complete",
        "alpha_canonical": 2.0,
        "alpha_mode": "fixed",
        "latent_dim": 64,
        "l0": 8.0,
        "held_out_tokens": 1000,
        "seed": 3,
        "learning_rate": 1e-3,
        "total_steps": 600,
        "target_l0": 6,
    } | changes


def test_observed_complete_run_says_its_l0() -> None:
    found = observed(record())
    assert found is not None
    assert (found.ln_alpha, found.ln_l0) == (math.log(2.0), math.log(8.0))
    assert found.relation is Relation.equal
    assert (found.learning_rate, found.total_steps, found.seed) == (1e-3, 600, 3)


def test_observed_run_without_active_latents_is_a_bound() -> None:
    found = observed(record(l0=0.0))
    assert found is not None
    assert found.relation is Relation.below


def test_observed_diverged_run_says_that_alpha_is_too_large_for_the_target() -> None:
    found = observed(record(state="diverged", l0=None), target=6)
    assert found is not None
    assert (found.relation, found.ln_l0) == (Relation.below, math.log(6))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "diverged", "l0": None},
        {"state": "failed", "l0": None},
        {"alpha_mode": "controlled"},
        {"alpha_canonical": 0.0},
        {"l0": None},
    ],
)
def test_observed_run_that_says_nothing_is_left_out(changes: dict[str, Any]) -> None:
    assert observed(record(**changes)) is None


@pytest.mark.parametrize("side", ["above", "below"])
def test_observed_pruned_run_bounds_l0_by_its_own_target(side: str) -> None:
    pruned = record(state="pruned", l0=None, l0_bound=side, target_l0=0.25)
    found = observed(pruned, target=6)
    assert found is not None
    assert (found.relation, found.ln_l0) == (Relation(side), math.log(16))
    assert (found.learning_rate, found.total_steps) == (1e-3, 600)
    assert not found.is_complete
    assert observed(pruned) is None


def test_observed_projected_run_has_the_projections_noise_and_no_end() -> None:
    found = observed(record(state="pruned", l0=None, projected_l0=20.0, projected_l0_sd=0.2))
    assert found is not None
    assert (found.relation, found.ln_l0) == (Relation.equal, math.log(20))
    assert found.noise_sd == pytest.approx(math.hypot(SEED_NOISE_SD, 0.2))
    assert not found.is_complete


def test_observed_pruned_run_without_a_side_says_nothing() -> None:
    assert observed(record(state="pruned", l0=None)) is None


def trial(batch_size: int | None = None, **changes: Any) -> BookedTrial:
    params = {} if batch_size is None else {"trainer.batch_size": batch_size}
    rate = changes.get("learning_rate")
    params |= {} if rate is None else {"trainer.learning_rate": rate}
    return BookedTrial(
        number=0,
        cell="c",
        l1_alpha=2.0,
        seed=3,
        is_running=False,
        record=record(**changes),
        optuna_number=0,
        params=params,
    )


def test_observations_of_another_batch_size_count_with_a_wider_sd() -> None:
    [same, other] = observations([trial(32), trial(64)], 6, {"trainer.batch_size": 32})
    assert same.noise_sd == SEED_NOISE_SD
    assert other.noise_sd == pytest.approx(math.hypot(SEED_NOISE_SD, OTHER_RECIPE_SD))


def test_observations_of_another_learning_rate_are_left_to_the_budget_term() -> None:
    [other] = observations([trial(learning_rate=2e-3)], 6, {"trainer.learning_rate": 1e-3})
    assert (other.noise_sd, other.learning_rate) == (SEED_NOISE_SD, 2e-3)


def test_observations_what_diverged_elsewhere_is_no_bound_here() -> None:
    diverged = trial(64, state="diverged", l0=None)
    assert observations([diverged], 6, {"trainer.batch_size": 32}) == []
    assert len(observations([diverged], 6, {"trainer.batch_size": 64})) == 1


def test_observations_known_before_are_not_read_from_the_record_again() -> None:
    known: KnownObservations = {}
    first = observations([trial()], 6, known=known)
    assert observations([trial(l0=9.0)], 6, known=known) == first
    assert [*known.values()] == first


def test_observations_held_against_another_target_are_not_taken_as_known() -> None:
    known: KnownObservations = {}
    [low] = observations([trial(state="diverged", l0=None)], 6, known=known)
    [high] = observations([trial(state="diverged", l0=None)], 60, known=known)
    assert low.ln_l0 < high.ln_l0
