from math import log
from typing import Any

import pytest

from sweeper.errors import SweepError
from sweeper.search.observations import Observation, Relation, observe


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
