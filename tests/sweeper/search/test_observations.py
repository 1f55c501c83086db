from dataclasses import replace
from math import hypot, log
from typing import Any

import pytest

from sweeper.errors import SweepError
from sweeper.search.observations import (
    SAME_SEED_NOISE_SD,
    SEED_NOISE_SD,
    Observation,
    Relation,
    observe,
    seen_with,
)


def test_observe_of_a_positive_l0_is_exact():
    seen = observe(ln_alpha=0.3, latent_dim=512, l0=20.0)
    assert (seen.relation, seen.ln_l0) == (Relation.equal, pytest.approx(log(20)))


def test_observe_of_zero_says_fewer_than_one_in_all_tokens():
    seen = observe(ln_alpha=0.3, latent_dim=512, l0=0.0, held_out_tokens=4096)
    assert (seen.relation, seen.ln_l0) == (Relation.below, pytest.approx(-log(4096)))


@pytest.mark.parametrize("l0", [-1.0, float("nan"), float("inf")])
def test_observe_of_no_count_is_refused(l0: float):
    with pytest.raises(SweepError, match=r"observation\.l0 must be a count"):
        observe(ln_alpha=0.3, latent_dim=512, l0=l0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ln_alpha", float("inf")), ("ln_l0", float("nan")), ("latent_dim", 0), ("noise_sd", 0.0)],
)
def test_observation_of_impossible_numbers_is_refused(field: str, value: Any):
    numbers: dict[str, Any] = {"ln_alpha": 0.0, "latent_dim": 512, "ln_l0": 3.0, field: value}
    with pytest.raises(SweepError, match=rf"^observation\.{field} must be .* but got {value}"):
        Observation(**numbers)


def test_seen_with_its_own_seed_is_less_noisy_and_with_another_is_not():
    found = observe(ln_alpha=0.0, latent_dim=64, l0=8.0)
    assert seen_with(found, found.seed).noise_sd == pytest.approx(SAME_SEED_NOISE_SD)
    assert seen_with(found, found.seed + 1) == found


def test_seen_with_its_own_seed_keeps_what_a_transfer_added():
    found = observe(ln_alpha=0.0, latent_dim=64, l0=8.0, noise_sd=hypot(SEED_NOISE_SD, 0.2))
    assert seen_with(found, 0).noise_sd == pytest.approx(hypot(SAME_SEED_NOISE_SD, 0.2))


def test_seen_with_the_seed_of_a_projection_is_as_noisy_as_before():
    found = replace(observe(ln_alpha=0.0, latent_dim=64, l0=8.0), is_complete=False)
    assert seen_with(found, 0) == found
