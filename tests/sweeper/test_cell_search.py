import math
from typing import Any

import pytest

from sweeper.cell_search import observed
from sweeper.search.observations import Relation
from sweeper.trial_book import BookedTrial


def trial(**changes: Any) -> BookedTrial:
    record = {
        "state": "complete",
        "alpha_canonical": 2.0,
        "alpha_mode": "fixed",
        "latent_dim": 64,
        "l0": 8.0,
        "held_out_tokens": 1000,
        "seed": 3,
        "learning_rate": 1e-3,
        "total_steps": 600,
    } | changes
    return BookedTrial(
        number=0,
        cell="c",
        l1_alpha=2.0,
        seed=3,
        is_running=False,
        record=record,
        optuna_number=0,
    )


def test_observed_complete_run_says_its_l0() -> None:
    found = observed(trial())
    assert found is not None
    assert (found.ln_alpha, found.ln_l0) == (math.log(2.0), math.log(8.0))
    assert found.relation is Relation.equal
    assert (found.learning_rate, found.total_steps, found.seed) == (1e-3, 600, 3)


def test_observed_run_without_active_latents_is_a_bound() -> None:
    found = observed(trial(l0=0.0))
    assert found is not None
    assert found.relation is Relation.below


def test_observed_diverged_run_says_that_alpha_is_too_large_for_the_target() -> None:
    found = observed(trial(state="diverged", l0=None), target_count=6)
    assert found is not None
    assert (found.relation, found.ln_l0) == (Relation.below, math.log(6))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "diverged", "l0": None},
        {"state": "failed", "l0": None},
        {"alpha_mode": "controlled"},
        {"alpha_canonical": 0.0},
    ],
)
def test_observed_run_that_says_nothing_is_left_out(changes: dict[str, Any]) -> None:
    assert observed(trial(**changes)) is None


def test_observed_projected_run_has_the_projections_noise_and_no_end() -> None:
    found = observed(
        trial(state="pruned", l0=None, target_l0=6, projected_l0=20.0, projected_l0_sd=0.2)
    )
    assert found is not None
    assert found.ln_l0 == math.log(20)
    assert found.noise_sd == pytest.approx(math.hypot(0.03, 0.2))
    assert not found.is_complete


def test_observed_gross_run_is_a_bound_at_the_target_it_was_ended_for() -> None:
    changes = {"state": "pruned", "l0": None, "target_l0": 0.25, "l0_bound": "above"}
    found = observed(trial(**changes), target_count=6)
    assert found is not None
    assert (found.relation, found.ln_l0) == (Relation.above, math.log(16))
    assert observed(trial(**changes)) is None
