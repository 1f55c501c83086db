import csv
import time
from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from sweeper.search.alpha_rule import THEORY, AlphaRule
from sweeper.search.observations import Observation, observe
from sweeper.search.transfer import Recipe, Transfer, at_recipe, count, transfer

DATA = Path(__file__).parents[2] / "data"
RECIPE = Recipe(d_in=384, learning_rate=1e-3, total_steps=600)


def read(file: str, total_steps: int | None = None) -> list[Observation]:
    with (DATA / file).open() as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    return [
        Observation(
            ln_alpha=log(float(row["l1_alpha"])),
            latent_dim=int(row["latent_dim"]),
            ln_l0=log(float(row["l0"])),
            learning_rate=1e-3,
            total_steps=int(row["total_steps"]),
        )
        for row in rows
        if total_steps in (None, int(row["total_steps"]))
    ]


def measured_root(trials: Sequence[Observation], latent_dim: int, target: float) -> float:
    own = sorted((t for t in trials if t.latent_dim == latent_dim), key=lambda t: t.ln_l0)
    return float(np.interp(log(target), [t.ln_l0 for t in own], [t.ln_alpha for t in own]))


@pytest.mark.parametrize(("latent_dim", "target_l0"), [(4096, 0.05), (4096, 0.02), (4096, 32.0)])
def test_transfer_to_the_next_width_is_within_fifteen_percent(latent_dim: int, target_l0: float):
    trials = read("l0_curves_minilm_layer3.csv")
    known = [t for t in trials if t.latent_dim < latent_dim]
    found = transfer(known, target_l0=target_l0, latent_dim=latent_dim, recipe=RECIPE)
    assert found is not None
    truth = measured_root(trials, latent_dim, count(target_l0, latent_dim))
    assert abs(found.component.mean - truth) < log(1.15)
    assert abs(found.component.mean - truth) < 2 * found.component.sd


def test_transfer_from_nothing_is_nothing():
    assert transfer([], target_l0=32.0, latent_dim=1024, recipe=RECIPE) is None


def test_transfer_from_short_runs_of_the_same_width_uses_the_budget_term():
    trials = read("l0_budget_minilm_layer3.csv")
    known = [t for t in trials if t.latent_dim == 1024 and t.total_steps in (300, 600)]
    recipe = Recipe(d_in=384, learning_rate=1e-3, total_steps=1200)
    found = transfer(known, target_l0=32.0, latent_dim=1024, recipe=recipe)
    assert found is not None
    full = [t for t in trials if t.total_steps == 1200]
    assert abs(found.component.mean - measured_root(full, 1024, 32.0)) < log(1.25)


def test_transfer_is_less_sure_the_further_it_reaches():
    known = [t for t in read("l0_curves_minilm_layer3.csv") if t.latent_dim == 512]
    near = transfer(known, target_l0=0.05, latent_dim=1024, recipe=RECIPE)
    far = transfer(known, target_l0=0.05, latent_dim=8192, recipe=RECIPE)
    assert near is not None
    assert far is not None
    assert near.component.sd < far.component.sd


def test_transfer_carries_the_steepness_over():
    def from_slope(slope: float) -> Transfer:
        trials = [
            observe(ln_alpha=u, latent_dim=512, l0=32 * exp(-slope * u))
            for u in (-0.4, -0.1, 0.1, 0.4)
        ]
        found = transfer(trials, target_l0=32.0, latent_dim=1024, recipe=RECIPE)
        assert found is not None
        return found

    steep, flat = from_slope(3.0), from_slope(1.0)
    assert steep.shape.ln_elasticity is not None
    assert flat.shape.ln_elasticity is not None
    assert steep.shape.ln_elasticity - flat.shape.ln_elasticity == pytest.approx(log(3), abs=0.3)
    assert steep.shape.ln_elasticity_sd < 0.4


@pytest.mark.parametrize("groups", [1, 3])
def test_transfer_of_groups_that_ran_once_has_the_rules_elasticity_and_its_doubt(groups: int):
    rule = AlphaRule(name="rule", elasticity=1.3, ln_elasticity_sd=0.25)
    recipe = replace(RECIPE, rule=rule)
    known = [
        observe(ln_alpha=0.1 * step, latent_dim=256 * 2**step, l0=33.0) for step in range(groups)
    ]
    found = transfer(known, target_l0=32.0, latent_dim=4096, recipe=recipe)
    assert found is not None
    assert found.shape.ln_elasticity == pytest.approx(log(1.3))
    assert found.shape.ln_elasticity_sd == pytest.approx(0.25)


def test_transfer_from_one_run_in_band_is_as_sure_as_the_step_between_widths():
    recipe = replace(RECIPE, rule=AlphaRule(name="rule", elasticity=1.3))
    known = [observe(ln_alpha=1.9, latent_dim=1024, l0=32.0)]  # about the rule's
    found = transfer(known, target_l0=32.0, latent_dim=2048, recipe=recipe)
    assert found is not None
    assert found.component.sd < 0.3
    assert found.component.mean == pytest.approx(1.9, abs=0.05)


def test_transfer_from_one_run_a_fifth_off_its_target_is_nearly_as_sure():
    """Were it not, one short run that missed by as much would say nothing of the full ones."""
    recipe = replace(RECIPE, rule=AlphaRule(name="rule", elasticity=1.3))

    def sd(l0: float) -> float:
        known = [observe(ln_alpha=1.9, latent_dim=1024, l0=l0)]
        found = transfer(known, target_l0=32.0, latent_dim=2048, recipe=recipe)
        assert found is not None
        return found.component.sd

    assert sd(32 * 0.8) < 1.3 * sd(32.0)


def test_transfer_to_a_longer_budget_steepens_as_the_rule_does():
    rule = AlphaRule(name="rule", elasticity=1.4, flattening=0.2)
    slope, alphas = 1.0, (-0.4, -0.1, 0.1, 0.4)
    known = [
        Observation(
            ln_alpha=u,
            latent_dim=1024,
            ln_l0=log(32.0) - slope * u,
            learning_rate=1e-3,
            total_steps=300,
        )
        for u in alphas
    ]
    longer = Recipe(d_in=384, learning_rate=1e-3, total_steps=4800, rule=rule)
    found = transfer(known, target_l0=32.0, latent_dim=1024, recipe=longer)
    assert found is not None
    assert found.shape.ln_elasticity is not None
    assert exp(found.shape.ln_elasticity) == pytest.approx(1.3, abs=0.15)


def test_transfer_knows_the_elasticity_of_the_rule_when_it_reads_another_budget():
    """One short run a tenth off its target tells its alpha to a few hundredths, not to a third."""
    known = AlphaRule(name="rule", elasticity=1.0, ln_elasticity_sd=0.2)
    short = observe(ln_alpha=0.0, latent_dim=1024, l0=32 * exp(0.1))
    doubled = Recipe(d_in=384, learning_rate=1e-3, total_steps=1200, rule=known)

    def sd(recipe: Recipe) -> float:
        found = transfer(
            [replace(short, learning_rate=1e-3, total_steps=600)],
            target_l0=32.0,
            latent_dim=1024,
            recipe=recipe,
        )
        assert found is not None
        return found.component.sd

    assert sd(doubled) < 0.8 * sd(replace(doubled, rule=THEORY))


def test_at_recipe_of_twice_the_steps_falls_by_the_budget_exponent():
    trial = observe(ln_alpha=1.0, latent_dim=512, l0=30.0)
    longer = Recipe(d_in=384, learning_rate=1e-3, total_steps=1200)
    moved = at_recipe(at_recipe(trial, RECIPE), longer)
    assert moved.ln_alpha == pytest.approx(1.0 - 0.45 * log(2))
    assert moved.noise_sd > trial.noise_sd


def test_transfer_from_ten_thousand_trials_takes_little_more_than_from_a_hundred():
    generator = np.random.default_rng(0)
    trials = [
        observe(
            ln_alpha=float(generator.normal()),
            latent_dim=int(2 ** generator.integers(6, 14)),
            l0=float(generator.uniform(1, 60)),
        )
        for _ in range(10_000)
    ]

    def seconds(some: Sequence[Observation]) -> float:
        started = time.process_time()
        assert transfer(some, target_l0=32.0, latent_dim=384, recipe=RECIPE) is not None
        return time.process_time() - started

    assert seconds(trials) < seconds(trials[:100]) + 0.2


def test_transfer_past_the_steepening_is_no_surer_for_it():
    """Alpha and its effective part go together there, as where nothing steepens."""
    plain = AlphaRule(name="", elasticity=1.0, budget_exponent=0.0)
    steepening = replace(plain, steepening=0.9)
    known = [observe(ln_alpha=log(4.0), latent_dim=512, l0=96.0)]

    def sd_by(rule: AlphaRule) -> float:
        recipe = replace(RECIPE, rule=rule)
        found = transfer(known, target_l0=2.0, latent_dim=1024, recipe=recipe)
        assert found is not None
        return found.component.sd

    assert sd_by(steepening) > 0.3 * sd_by(plain)
