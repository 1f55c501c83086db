from math import exp, log
from typing import Any

import pytest

from sweeper.errors import SweepError
from sweeper.search.alpha_rule import THEORY, Situation
from sweeper.search.prior import (
    PriorComponent,
    file_component,
    guide_component,
    heaviest,
    mixture,
    rule_component,
)
from sweeper.search.prior_config import PriorConfig, PriorKind


def _situation(d_in: int, target: float) -> Situation:
    return Situation(
        d_in=d_in, latent_dim=65536, target_count=target, learning_rate=1e-3, total_steps=600
    )


@pytest.mark.parametrize(("latent_dim", "alpha"), [(32768, 0.0010027), (131072, 9.9733)])
def test_guide_reproduces_its_own_table(latent_dim: int, alpha: float):
    assert exp(guide_component(latent_dim).mean) == pytest.approx(alpha, rel=1e-4)


@pytest.mark.parametrize(
    ("latent_dim", "weight"), [(1024, 0.0), (32767, 0.0), (32768, 0.05), (131073, 0.0)]
)
def test_guide_speaks_between_its_widths_only(latent_dim: int, weight: float):
    assert guide_component(latent_dim).weight == weight


def test_guide_of_no_width_is_refused():
    with pytest.raises(SweepError, match=r"sae\.latent_dim must be positive, but got 0"):
        guide_component(0)


def test_mixture_sums_to_one_and_keeps_the_guide_within_five_percent():
    theory, guide = rule_component(THEORY, _situation(2048, 3277)), guide_component(65536)
    loud = PriorComponent(name="guide", mean=guide.mean, sd=guide.sd, weight=3.0)
    mixed = {c.name: c.weight for c in mixture([theory, loud])}
    assert sum(mixed.values()) == pytest.approx(1)
    assert mixed["guide"] / (mixed["guide"] + mixed["theory"]) == pytest.approx(0.05)


def test_mixture_leaves_out_what_weighs_nothing():
    names = [
        c.name
        for c in mixture([rule_component(THEORY, _situation(384, 48)), guide_component(512)])
    ]
    assert names == ["theory", "broad"]


def test_mixture_of_the_guide_alone_is_centred_on_it():
    alone = PriorComponent(name="guide", mean=-3.0, sd=0.7)
    mixed = mixture([alone])
    assert heaviest(mixed).mean == -3.0
    assert mixed[1].mean == -3.0


def test_mixture_widens_every_named_component():
    (component, _) = mixture([file_component(1.0, 0.2)], widening=3.0)
    assert component.sd == pytest.approx(0.6)


def test_mixture_of_nothing_is_refused():
    with pytest.raises(SweepError, match="positive weight, but got none"):
        mixture([guide_component(512)])


def test_mixture_of_one_name_twice_is_refused():
    with pytest.raises(SweepError, match="different names"):
        mixture([file_component(1.0, 0.2), file_component(2.0, 0.2)])


@pytest.mark.parametrize(
    ("field", "value"), [("mean", float("nan")), ("sd", 0.0), ("weight", -1.0)]
)
def test_component_of_impossible_numbers_is_refused(field: str, value: Any):
    numbers: dict[str, Any] = {"name": "x", "mean": 0.0, "sd": 1.0, field: value}
    with pytest.raises(SweepError, match=rf"^prior\.x\.{field} must .* but got {value}"):
        PriorComponent(**numbers)


def test_config_of_kind_file_needs_a_path():
    with pytest.raises(SweepError, match=r"prior\.path must name a law file"):
        PriorConfig(kind=PriorKind.file)


@pytest.mark.parametrize("kind", [PriorKind.theory, PriorKind.guide])
def test_prior_config_law_file_that_its_kind_does_not_read_is_refused(kind: PriorKind) -> None:
    with pytest.raises(SweepError, match=rf"^prior\.path must be null with prior={kind}, .*'a'"):
        PriorConfig(kind=kind, path="a")


@pytest.mark.parametrize("widening", [0.5, float("inf")])
def test_config_that_narrows_or_has_no_end_is_refused(widening: float) -> None:
    with pytest.raises(
        SweepError, match=r"prior\.widening must be finite and at least 1, but got"
    ):
        PriorConfig(widening=widening)


def test_heaviest_of_equals_is_the_first():
    components = [file_component(log(2), 0.2), rule_component(THEORY, _situation(384, 48))]
    assert heaviest(components).name == "file"
