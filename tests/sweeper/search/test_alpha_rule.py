import csv
from dataclasses import replace
from itertools import pairwise
from math import exp, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sweeper.errors import SweepError
from sweeper.search.alpha_rule import (
    LEAST_OVER_EFFECTIVE,
    MOST_OVER_EFFECTIVE,
    REFERENCE_EXPOSURE,
    THEORY,
    AlphaRule,
    Situation,
    StrengthRule,
    rule_for,
)

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
RUNS = RESULTS / "recipe_layer3.csv"
TANH_RUNS = RESULTS / "recipe_layer3_tanh.csv"
QUADRATIC_RUNS = RESULTS / "quadratic_layer3.csv"
SITUATION = Situation(
    d_in=384, latent_dim=1024, target_count=48, learning_rate=1e-3, total_steps=600
)


def test_theory_at_the_measured_recipe_is_the_square_root_law():
    assert exp(THEORY.ln_alpha(SITUATION)) == pytest.approx((384 / 48) ** 0.5)
    assert THEORY.sd_at(SITUATION) == pytest.approx(0.5)


def test_theory_for_eight_times_the_steps_falls_by_the_budget_exponent():
    longer = replace(SITUATION, total_steps=4800)
    fall = THEORY.ln_alpha(longer) - THEORY.ln_alpha(SITUATION)
    assert exp(fall) == pytest.approx(8**-0.45)
    assert THEORY.sd_at(longer) > THEORY.sd_at(SITUATION)


FADING = AlphaRule(
    name="fading",
    budget_exponent=-0.5,
    budget_decay=0.7,
    flattening=0.1,
    flattening_width_power=0.5,
)


def test_at_exposure_near_the_reference_has_the_stated_exponent_where_nothing_is_flattened():
    rule = replace(FADING, flattening=0.0)
    step = rule.at_exposure(1.0, 1024, REFERENCE_EXPOSURE, REFERENCE_EXPOSURE * exp(1e-5)) - 1.0
    assert step / 1e-5 == pytest.approx(-0.5, rel=1e-4)


def test_at_exposure_far_above_the_reference_fades():
    rule, at = replace(FADING, flattening=0.0), REFERENCE_EXPOSURE * exp(2)
    fall = rule.at_exposure(1.0, 1024, at, at * exp(50)) - 1.0
    assert fall == pytest.approx(-0.5 * exp(-1.4) / 0.7, rel=1e-6)


STEEPENING = replace(FADING, flattening=0.0, steepening=0.9)


@given(st.floats(-3, 9), st.floats(0.2, 10), st.floats(0.2, 10))
def test_at_exposure_there_and_back_is_where_it_was(ln_alpha: float, here: float, there: float):
    moved = FADING.at_exposure(ln_alpha, 4096, here, there)
    assert FADING.at_exposure(moved, 4096, there, here) == pytest.approx(ln_alpha, abs=1e-6)


@given(st.floats(-3, 9), st.floats(0.2, 10))
def test_ln_alpha_of_the_effective_part_is_alpha(ln_alpha: float, exposure: float):
    effective = FADING.ln_effective(ln_alpha, 4096, exposure)
    assert FADING.ln_alpha_of(effective, 4096, exposure) == pytest.approx(ln_alpha, abs=1e-9)


@given(st.floats(-3, 9))
def test_ln_alpha_of_the_effective_part_is_alpha_where_the_curve_steepens(ln_alpha: float):
    effective = STEEPENING.ln_effective(ln_alpha, 1024, 0.6)
    assert STEEPENING.ln_alpha_of(effective, 1024, 0.6) == pytest.approx(ln_alpha, abs=1e-9)


@given(st.floats(-3, -0.1), st.floats(0.2, 10), st.integers(64, 65536))
def test_ln_effective_where_the_curve_steepens_sees_neither_training_nor_width(
    ln_alpha: float, exposure: float, latent_dim: int
):
    found = STEEPENING.ln_effective(ln_alpha, latent_dim, exposure)
    assert found == pytest.approx(STEEPENING.ln_effective(ln_alpha, 1024, 0.6))


@given(st.floats(-3, 9), st.integers(64, 65536), st.floats(0.01, 100))
def test_at_exposure_of_the_same_exposure_is_alpha_itself(
    ln_alpha: float, latent_dim: int, exposure: float
):
    moved = FADING.at_exposure(ln_alpha, latent_dim, exposure, exposure)
    assert moved == pytest.approx(ln_alpha, abs=1e-9)


def test_ln_alpha_of_what_no_alpha_gives_is_held():
    assert FADING.ln_alpha_of(9.0, 1024, 0.6) == pytest.approx(9.0 + log(MOST_OVER_EFFECTIVE))


@given(st.floats(3, 300), st.floats(0.2, 6))
def test_shape_is_the_slope_of_the_rule_itself(target_count: float, exposure: float):
    """-d ln L0 / d ln alpha of `ln_alpha`, by differences."""
    here = replace(
        SITUATION, latent_dim=4096, target_count=target_count, learning_rate=exposure / 600
    )
    more = replace(here, target_count=target_count * exp(1e-5))
    ln_alpha = FADING.ln_alpha(here)
    assume(FADING.ln_flatter(ln_alpha, 4096, exposure) < log(MOST_OVER_EFFECTIVE) - 1e-3)
    slope = 1e-5 / (ln_alpha - FADING.ln_alpha(more))
    told = FADING.shape(ln_alpha, 4096, exposure).ln_elasticity
    assert told is not None
    assert slope == pytest.approx(exp(told), rel=1e-3)


def test_shape_nearer_to_the_end_of_the_steepening_is_steeper():
    far, near = STEEPENING.shape(log(0.2), 1024, 0.6), STEEPENING.shape(log(0.8), 1024, 0.6)
    assert far.ln_elasticity is not None
    assert near.ln_elasticity is not None
    assert near.ln_elasticity - far.ln_elasticity == pytest.approx(log(0.82 / 0.28))


def test_shape_past_the_steepening_is_that_of_a_small_alpha():
    past = (1 - LEAST_OVER_EFFECTIVE) / 0.9 * 1.01
    assert STEEPENING.shape(log(past), 1024, 0.6).ln_elasticity == pytest.approx(
        log(STEEPENING.elasticity)
    )


def test_theory_sees_rate_times_steps_only():
    other = replace(SITUATION, learning_rate=2e-3, total_steps=300)
    assert THEORY.ln_alpha(other) == pytest.approx(THEORY.ln_alpha(SITUATION))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"d_in": 0}, "d_in"),
        ({"latent_dim": 0}, "sae.latent_dim"),
        ({"target_count": 0.0}, "target_l0"),
        ({"learning_rate": 0.0}, "trainer.learning_rate"),
        ({"total_steps": 0}, "trainer.total_steps"),
    ],
)
def test_situation_of_what_is_not_positive_names_the_key(change: dict[str, float], key: str):
    with pytest.raises(SweepError, match=f"^{key} must be positive, but got 0"):
        replace(SITUATION, **change)


def test_rule_for_an_unmeasured_penalty_is_the_theory():
    assert rule_for("mine", "own", SITUATION) is THEORY


def test_rule_for_the_measured_recipe_is_the_measured_one():
    assert rule_for("standard", "l1", SITUATION).name == "measured"


def test_rule_for_activations_far_from_the_measured_ones_is_the_theory():
    assert rule_for("standard", "l1", replace(SITUATION, d_in=16, latent_dim=48)) is THEORY


@pytest.mark.parametrize(
    ("architecture", "penalty"), [("standard", "l1"), ("gated", "l1"), ("jumprelu", "l0")]
)
def test_rule_has_the_constants_of_the_runs_that_it_was_fitted_to(architecture: str, penalty: str):
    rule = rule_for(architecture, penalty, SITUATION)
    with RUNS.open(newline="") as stream:
        rows = [
            row
            for row in csv.DictReader(stream)
            if row["architecture"] == architecture
            and row["gradient_clip"]
            and int(row["total_steps"]) >= 600
        ]
    assert len(rows) > 20
    misses = 0
    for row in rows:
        run = Situation(
            d_in=384,
            latent_dim=int(row["latent_dim"]),
            target_count=float(row["l0"]),
            learning_rate=float(row["learning_rate"]),
            total_steps=int(row["total_steps"]),
        )
        misses += abs(log(float(row["l1_alpha"])) - rule.ln_alpha(run)) > log(1.25)
    assert misses == 0


@pytest.mark.parametrize(
    ("architecture", "penalty"), [("standard", "l1"), ("gated", "l1"), ("jumprelu", "l0")]
)
def test_shape_has_the_constants_of_the_curves_that_it_was_fitted_to(
    architecture: str, penalty: str
):
    rule = rule_for(architecture, penalty, SITUATION)
    runs = pd.read_csv(RUNS)
    runs = runs[(runs.architecture == architecture) & runs.gradient_clip.notna()]
    errors: list[float] = []
    for _, curve in runs.groupby(["latent_dim", "total_steps"]):
        ordered = curve.sort_values("l1_alpha")
        latent_dim = int(ordered.latent_dim.iloc[0])
        exposure = 1e-3 * float(ordered.total_steps.iloc[0])
        ln_alpha, ln_l0 = np.log(ordered.l1_alpha.to_numpy()), np.log(ordered.l0.to_numpy())
        for (a, b), (c, d) in zip(pairwise(ln_alpha), pairwise(ln_l0), strict=True):
            told = rule.shape(0.5 * (a + b), latent_dim, exposure).ln_elasticity
            assert told is not None
            errors.append(log((c - d) / (b - a)) - told)
    assert len(errors) == 24
    assert float(np.std(errors)) < 0.07
    assert abs(float(np.mean(errors))) < 0.03


def test_rule_of_tanh_has_the_constants_of_the_runs_that_it_was_fitted_to():
    rule = rule_for("jumprelu", "tanh", SITUATION)
    runs = pd.read_csv(TANH_RUNS).query("total_steps >= 600")
    errors: list[float] = []
    for row in runs.to_dict("records"):
        run = replace(
            SITUATION,
            latent_dim=int(row["latent_dim"]),
            target_count=float(row["l0"]),
            total_steps=int(row["total_steps"]),
        )
        errors.append(log(float(row["l1_alpha"])) - rule.ln_alpha(run))
    assert len(errors) == 20
    assert max(map(abs, errors)) < log(1.25)


def test_rule_of_tanh_past_its_steepening_is_near_the_run_of_l0_two():
    """L0 1.9 at alpha 3.46: width 1024, 600 steps, layer 3."""
    rule = rule_for("jumprelu", "tanh", SITUATION)
    found = rule.ln_alpha(replace(SITUATION, target_count=1.9))
    assert found == pytest.approx(log(3.46), abs=log(1.25))


def test_rule_of_the_quadratic_penalty_lands_at_every_measured_place():
    """And a third of its alpha, and three times it, land as well: it lies well inside."""
    rule = rule_for("jumprelu", "quadratic", SITUATION)
    for _, place in pd.read_csv(QUADRATIC_RUNS).groupby(
        ["latent_dim", "target_count", "total_steps"]
    ):
        first = place.iloc[0]
        here = replace(
            SITUATION,
            latent_dim=int(first["latent_dim"]),
            target_count=float(first["target_count"]),
            total_steps=int(first["total_steps"]),
        )
        strength = exp(rule.ln_alpha(here)) / here.d_in
        inside = place[place.strength.between(strength / 3.1, strength * 3.1)]
        assert len(inside) >= 2
        assert inside.strength.min() < strength < inside.strength.max()
        assert (inside.l0 / inside.target_count - 1).abs().max() < 0.05


def test_strength_rule_sees_d_in_alone():
    rule = StrengthRule(name="")
    other = Situation(
        d_in=384, latent_dim=65536, target_count=9, learning_rate=1e-4, total_steps=100_000
    )
    assert rule.ln_alpha(other) == rule.ln_alpha(SITUATION)
    twice = replace(SITUATION, d_in=768)
    assert rule.ln_alpha(twice) - rule.ln_alpha(SITUATION) == pytest.approx(log(2))


def test_shape_of_a_strength_has_a_floor_for_certain():
    assert StrengthRule(name="").shape(5.0, 1024, 0.6).floor_probability == 1.0


def test_shape_of_a_longer_training_is_steeper():
    rule = rule_for("standard", "l1", SITUATION)
    short, long = rule.shape(0.5, 1024, 0.3), rule.shape(0.5, 1024, 4.8)
    assert short.ln_elasticity is not None
    assert long.ln_elasticity is not None
    assert short.ln_elasticity < long.ln_elasticity
