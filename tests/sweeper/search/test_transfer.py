import csv
import time
from collections.abc import Sequence
from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from sweeper.search.observations import Observation, observe
from sweeper.search.transfer import Recipe, at_recipe, count, transfer

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
    points = sorted((t.ln_l0, t.ln_alpha) for t in trials if t.latent_dim == latent_dim)
    return float(np.interp(log(target), *zip(*points, strict=True)))


@pytest.mark.parametrize(("latent_dim", "target_l0"), [(4096, 0.05), (4096, 0.02), (4096, 32.0)])
def test_transfer_to_the_next_width_is_within_fifteen_percent(latent_dim, target_l0):
    trials = read("l0_curves_minilm_layer3.csv")
    known = [t for t in trials if t.latent_dim < latent_dim]
    found = transfer(known, target_l0=target_l0, latent_dim=latent_dim, recipe=RECIPE)
    assert found is not None
    truth = measured_root(trials, latent_dim, count(target_l0, latent_dim))
    assert abs(found.component.mean - truth) < log(1.15)
    assert abs(found.component.mean - truth) < 2 * found.component.sd


def test_transfer_from_nothing_is_nothing():
    assert transfer([], target_l0=32.0, latent_dim=1024, recipe=RECIPE) is None


def test_transfer_leaves_out_the_cells_own_trials():
    own = [observe(ln_alpha=0.0, latent_dim=1024, l0=100.0)]
    assert transfer(own, target_l0=32.0, latent_dim=1024, recipe=RECIPE) is None


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


def test_transfer_carries_the_elasticity_over():
    steep = [
        observe(ln_alpha=u, latent_dim=512, l0=32 * exp(-3 * u)) for u in (-0.4, -0.1, 0.1, 0.4)
    ]
    found = transfer(steep, target_l0=32.0, latent_dim=1024, recipe=RECIPE)
    assert found is not None
    assert found.shape.ln_elasticity > log(2.2)
    assert found.shape.ln_elasticity_sd < 0.5


def test_at_recipe_of_twice_the_steps_falls_by_the_budget_exponent():
    trial = observe(ln_alpha=1.0, latent_dim=512, l0=30.0)
    longer = Recipe(d_in=384, learning_rate=1e-3, total_steps=1200)
    moved = at_recipe(at_recipe(trial, RECIPE), longer)
    assert moved.ln_alpha == pytest.approx(1.0 - 0.45 * log(2))
    assert moved.noise_sd > trial.noise_sd


def test_transfer_from_ten_thousand_trials_takes_less_than_a_second():
    generator = np.random.default_rng(0)
    trials = [
        observe(ln_alpha=u, latent_dim=2 ** int(w), l0=32 * exp(-1.5 * u))
        for u, w in zip(
            generator.normal(0, 1, 10_000), generator.integers(6, 14, 10_000), strict=True
        )
    ]
    started = time.perf_counter()
    assert transfer(trials, target_l0=32.0, latent_dim=384, recipe=RECIPE) is not None
    assert time.perf_counter() - started < 1.0
