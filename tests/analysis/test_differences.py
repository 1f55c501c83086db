from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.differences import study_differences
from analysis.errors import AnalysisError

MakeTrials = Callable[..., pd.DataFrame]


def study(make_trials: MakeTrials, factor: float, seed: int, **columns: object) -> pd.DataFrame:
    """Alpha for 64 latents is `factor` at every width."""
    rng = np.random.default_rng(seed)
    rows = [
        (width, alpha, 64 * (alpha / factor) ** -1.2 * float(np.exp(rng.normal(scale=0.02))))
        for width in (512, 1024, 2048)
        for alpha in (1.0, 2.0, 4.0)
    ]
    return make_trials(rows, **columns)


def test_study_differences_same_alpha_agrees(make_trials: MakeTrials):
    found = study_differences(
        {"a": study(make_trials, 2.0, 0), "b": study(make_trials, 2.0, 1)}, target_l0=64
    )
    assert [each.latent_dim for each in found.alphas] == [512, 1024, 2048]
    assert all(each.agree for each in found.alphas)
    assert found.exponents[0].agree
    assert found.notes == ()


def test_study_differences_different_alpha_gives_the_ratio(make_trials: MakeTrials):
    found = study_differences(
        {"a": study(make_trials, 1.5, 0), "b": study(make_trials, 3.0, 1)}, target_l0=64
    )
    assert not any(each.agree for each in found.alphas)
    assert found.alphas[0].ratio.value == pytest.approx(2.0, rel=0.1)


def test_study_differences_three_are_compared_pair_by_pair(make_trials: MakeTrials):
    studies = {name: study(make_trials, 2.0, seed) for seed, name in enumerate("abc")}
    found = study_differences(studies, target_l0=64).to_json()
    exponents = found["exponents"]
    assert isinstance(exponents, list)
    assert [(each["first"], each["second"]) for each in exponents] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]


def test_study_differences_other_recipe_is_said(make_trials: MakeTrials):
    found = study_differences(
        {"a": study(make_trials, 2.0, 0), "b": study(make_trials, 2.0, 1, total_steps=1200)},
        target_l0=64,
    )
    assert "differ in what a law belongs to" in found.notes[0]


def test_study_differences_foreign_units_are_said(make_trials: MakeTrials, minilm: pd.DataFrame):
    found = study_differences({"a": study(make_trials, 2.0, 0), "b": minilm}, target_l0=64)
    assert "not canonical: b" in found.notes[-1]


def test_study_differences_no_shared_width_compares_no_alpha(make_trials: MakeTrials):
    one = study(make_trials, 2.0, 0)
    found = study_differences(
        {"a": one[one["latent_dim"] == 512], "b": one[one["latent_dim"] == 1024]}, target_l0=64
    )
    assert (found.alphas, found.exponents) == ((), ())


def test_study_differences_one_study_is_refused(minilm: pd.DataFrame):
    with pytest.raises(AnalysisError, match="studies must be two or more, but got 1"):
        study_differences({"a": minilm}, target_l0=64)
