import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.curves import Form
from analysis.errors import AnalysisError
from analysis.gate import K_SETS_L0, Status
from analysis.refitting import refit
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]

WIDTHS = (512, 1024, 2048, 4096)
FOUR_WIDTHS = [
    (width, alpha, 64 * (alpha / scale) ** -1.2)
    for width, scale in zip(WIDTHS, (2.0, 1.9, 1.75, 1.6), strict=True)
    for alpha in (1.0, 2.0, 4.0)
]


def test_refit_two_crossings_gives_a_point_and_no_interval(make_trials: MakeTrials):
    l0 = {1.0: 400.0, 2.0: 190.0, 4.0: 80.0, 8.0: 500.0, 16.0: 9.0}
    fit = refit(make_trials([(4096, alpha, value) for alpha, value in l0.items()]), target_l0=100)
    width = fit.widths[0]
    assert width.point == pytest.approx(10.6, rel=0.01)
    assert width.alpha_star is None
    assert "twice" in str(width.reason)
    assert fit.suggestions[0].l1_alpha == pytest.approx(8)
    assert "seed=1" in str(fit.command(fit.suggestions[0]))


def test_refit_measured_curves_gives_alpha_at_five_percent(minilm: pd.DataFrame):
    found = refit(minilm, target_l0=0.05)
    alphas = [width.point for width in found.widths]
    assert alphas == pytest.approx([3.15, 2.75, 2.48, 2.05], rel=0.05)
    for width in found.widths:
        assert width.alpha_star is not None
        assert width.alpha_star.low < float(width.point or 0) < width.alpha_star.high


def test_refit_measured_curves_gives_an_exponent_that_excludes_zero_and_the_guide(
    minilm: pd.DataFrame,
):
    exponent = refit(minilm, target_l0=0.05).exponent
    assert exponent is not None
    assert exponent.beta.contains(-0.20)
    assert not exponent.beta.contains(0.0)
    assert not exponent.beta.contains(6.64)


def test_refit_measured_curves_says_how_far_the_global_forms_miss(minilm: pd.DataFrame):
    curves = refit(minilm, target_l0=0.05).to_json()["curves"]
    assert isinstance(curves, list)
    for curve in curves:
        misses = {form["form"]: form["rms_log"] for form in curve["forms"]}
        assert misses["exponential"] > 0.1
        assert misses["power"] > 0.1


def test_refit_unbracketed_measured_width_is_one_sided(minilm: pd.DataFrame):
    width = refit(minilm, target_l0=0.2).width(4096)
    assert width is not None
    assert (width.bracketed, width.point) == (False, None)
    assert "one-sided: alpha for the target lies below all runs" in width.notes
    assert "lies outside the runs' L0" in str(width.reason)


def test_refit_four_converged_widths_is_a_law(make_trials: MakeTrials):
    found = refit(make_trials(FOUR_WIDTHS), target_l0=64)
    assert (found.status, found.missing) == (Status.law, ())
    assert found.exponent is not None


def test_refit_one_width_has_no_exponent_and_suggests_another(make_trials: MakeTrials):
    found = refit(make_trials(FOUR_WIDTHS[:3]), target_l0=64)
    content = found.to_json()
    assert content["exponent"] is None
    assert "needs two" in str(content["exponent_reason"])
    assert [each.latent_dim for each in found.suggestions] == [1024]


def test_refit_one_trial_is_a_point(make_trials: MakeTrials):
    found = refit(make_trials(FOUR_WIDTHS[:1]), target_l0=64)
    assert found.widths[0].forms == ()
    assert str(found.widths[0].reason).startswith("1 alpha")
    assert found.local is None


def test_refit_two_alphas_is_the_secant_without_interval(make_trials: MakeTrials):
    found = refit(make_trials([(1024, 1.0, 128.0), (1024, 4.0, 32.0)]), target_l0=64)
    curve = found.widths[0].to_json()
    assert curve["alpha_star"] == {"value": pytest.approx(2.0), "low": None, "high": None}
    assert "0 d.o.f." in str(curve["reason"])


def test_refit_target_above_one_width_only_drops_that_width(make_trials: MakeTrials):
    rows = [(512, 1.0, 100.0), (2048, 1.0, 900.0), (2048, 2.0, 500.0)]
    found = refit(make_trials(rows), target_l0=600)
    assert [width.target_count for width in found.widths] == [None, 600.0]
    assert "target_l0 must be above 0 and at most latent_dim (512)" in str(found.widths[0].reason)


def test_refit_several_recipes_are_never_mixed(data: Path):
    trials = load_trials(data / "l0_budget_minilm_layer3.csv")
    found = refit(trials, target_l0=51.2)
    steps = [each.recipe.total_steps for each in (found, *found.others)]
    assert sorted(int(each or 0) for each in steps) == [300, 600, 1200, 2400, 4800]
    assert "5 groups of runs (total_steps differ)" in " ".join(found.notes)


def test_refit_several_budgets_gives_exponents_in_both(data: Path):
    found = refit(load_trials(data / "l0_budget_minilm_layer3.csv"), target_l0=51.2)
    content = found.to_json()["budget"]
    assert isinstance(content, dict)
    assert content["budget_unit"] == "total_steps"
    assert -0.6 < content["budget_exponent"]["value"] < -0.4
    assert content["width_exponent"]["low"] < content["width_exponent"]["high"]


def test_refit_one_budget_says_why_there_is_no_exponent_in_it(minilm: pd.DataFrame):
    found = refit(minilm, target_l0=0.05)
    assert found.budget is None
    assert found.budget_reason == "budgets must be two or more for an exponent, but got 1."


def test_refit_budgets_of_another_penalty_are_not_its_own(make_trials: MakeTrials):
    alphas = (1.0, 2.0, 4.0)
    own = make_trials([(1024, alpha, 64 / alpha) for alpha in (*alphas, 1.5)], penalty="tanh")
    others = [
        make_trials([(1024, alpha, 64 / alpha) for alpha in alphas], total_steps=steps)
        for steps in (600, 1200, 2400)
    ]
    found = refit(pd.concat([own, *others], ignore_index=True), target_l0=32)
    assert found.recipe.penalty == "tanh"
    assert found.budget is None
    assert found.budget_reason == "budgets must be two or more for an exponent, but got 1."


def test_refit_recipe_is_named_and_unknown_said(minilm: pd.DataFrame):
    recipe = refit(minilm, target_l0=0.05).to_json()["recipe"]
    assert isinstance(recipe, dict)
    assert (recipe["d_in"], recipe["total_steps"], recipe["batch_size"]) == (384, 600, 512)
    assert recipe["unknown"] == ["architecture", "penalty", "activations"]


def test_refit_exclusions_are_listed_with_row_and_reason(data: Path):
    exclusions = refit(load_trials(data / "guide_jobs.csv"), target_l0=0.05).to_json()[
        "exclusions"
    ]
    assert isinstance(exclusions, list)
    assert [each["row"] for each in exclusions] == [1]


def test_refit_zero_alpha_informs_the_ceiling_only(data: Path):
    found = refit(load_trials(data / "l0_curve_saelens_719.csv"), target_l0=100)
    forms = {form.fit.form: form.fit.n for form in found.widths[0].forms}
    assert (forms[Form.exponential], forms[Form.power]) == (7, 6)
    assert "1 run at alpha 0" in found.widths[0].notes[0]


def test_refit_target_above_a_forms_ceiling_is_said(data: Path):
    found = refit(load_trials(data / "l0_curve_saelens_719.csv"), target_l0=200)
    reasons = {form.fit.form: form.reason for form in found.widths[0].forms}
    assert "above the model's ceiling" in str(reasons[Form.exponential])


def test_refit_target_that_no_form_reaches_has_no_average(make_trials: MakeTrials):
    rows = [(1024, 1.0, 30.0), (1024, 2.0, 29.9), (1024, 4.0, 29.8), (1024, 8.0, 29.7)]
    width = refit(make_trials(rows), target_l0=1.0).widths[0]
    assert width.average_alpha is None or width.average_alpha.value > 1e6
    assert width.point is None


def test_refit_same_trials_give_the_same_bytes_in_any_order(minilm: pd.DataFrame):
    shuffled = minilm.sample(frac=1, random_state=3).reset_index(drop=True)
    shuffled.attrs = minilm.attrs
    one, other = (refit(each, target_l0=0.05).to_json() for each in (minilm, shuffled))
    assert json.dumps(one, allow_nan=False) == json.dumps(other, allow_nan=False)


def test_refit_unreadable_results_are_named_in_the_notes(make_trials: MakeTrials):
    trials = make_trials(FOUR_WIDTHS)
    trials.attrs["problems"] = [{"source": "trial_00007/result.json", "reason": "truncated"}]
    assert "trial_00007/result.json: truncated" in refit(trials, target_l0=64).notes


def test_refit_unconverged_run_makes_it_provisional(make_trials: MakeTrials):
    trials = make_trials(FOUR_WIDTHS)
    trials.loc[0, "converged"] = False
    found = refit(trials, target_l0=64)
    assert found.missing == ("converged runs (some had not)",)
    assert "1 run had not converged" in found.widths[0].notes


@pytest.mark.parametrize("target", [0.0, -1.0, np.nan, np.inf])
def test_refit_impossible_target_is_refused(make_trials: MakeTrials, target: float):
    with pytest.raises(AnalysisError, match="target_l0 must be positive and finite"):
        refit(make_trials(FOUR_WIDTHS), target_l0=target)


def test_refit_no_usable_row_is_refused_with_the_reasons(make_trials: MakeTrials):
    trials = make_trials(FOUR_WIDTHS[:3], state="pruned")
    trials.loc[0, "state"] = "diverged"
    reasons = r"not complete: pruned \(2\); the trial is not complete: diverged \(1\)"
    with pytest.raises(AnalysisError, match=f"all 3 are excluded: the trial is {reasons}"):
        refit(trials, target_l0=64)


def test_refit_runs_judged_on_few_tokens_count_less(make_trials: MakeTrials):
    rows = [(1024, alpha, 64 * (alpha / 2) ** -1.2) for alpha in (1.0, 1.5, 2.5, 4.0)]
    off = [*rows, (1024, 2.0, 80.0)]
    trusted, doubted = make_trials(off), make_trials(off)
    doubted["l0_se"] = [0.1, 0.1, 0.1, 0.1, 16.0]
    points = [refit(each, target_l0=64).widths[0].point or 0.0 for each in (trusted, doubted)]
    assert abs(points[1] - 2.0) < 0.2 * abs(points[0] - 2.0)


def test_refit_bootstrap_beside_the_interval_where_runs_allow(make_trials: MakeTrials):
    rng = np.random.default_rng(0)
    alpha = np.exp(rng.uniform(-0.5, 1.5, size=20))
    l0 = 64 * (alpha / 2) ** -1.2 * np.exp(0.03 * rng.normal(size=20))
    many = make_trials([(1024, a, y) for a, y in zip(alpha.tolist(), l0.tolist(), strict=True)])
    curve = refit(many, target_l0=64).widths[0].to_json()
    few = refit(many.iloc[:5], target_l0=64).widths[0]
    assert isinstance(curve["bootstrap"], dict)
    assert curve["bootstrap"]["low"] < 2 < curve["bootstrap"]["high"]
    assert few.bootstrap is None


def one_run_off(make_trials: MakeTrials, factor: float = 4.0) -> pd.DataFrame:
    """Eight runs on a power through alpha 2 at L0 64, the seventh `factor` times too dense."""
    alphas = np.exp(np.linspace(-0.9, 2.3, 8))
    l0 = 64 * (alphas / 2) ** -1.2
    l0[6] *= factor
    return make_trials([(1024, float(a), float(b)) for a, b in zip(alphas, l0, strict=True)])


def test_refit_run_off_the_curve_is_said_and_counts_less(make_trials: MakeTrials):
    width = refit(one_run_off(make_trials), target_l0=64).widths[0]
    content = width.to_json()
    assert content["counts_less"] == [{"row": 6, "weight": pytest.approx(width.weights[6])}]
    assert width.weights[6] < 0.3
    assert f"row 6 counts {width.weights[6]:.2g}" in " ".join(width.notes)


def test_refit_run_off_the_curve_neither_brackets_nor_moves_alpha(make_trials: MakeTrials):
    width = refit(one_run_off(make_trials, factor=5.0), target_l0=64).widths[0]
    assert width.alpha_star is not None
    assert width.point == pytest.approx(2, rel=0.03)


def test_refit_clean_runs_all_count(minilm: pd.DataFrame):
    found = refit(minilm, target_l0=0.05)
    assert {weight for width in found.widths for weight in width.weights} == {1.0}


def test_refit_target_above_every_width_is_said_and_suggests_nothing(make_trials: MakeTrials):
    found = refit(make_trials([(32, 1.0, 20.0), (32, 2.0, 10.0)]), target_l0=100)
    assert "at most latent_dim (32)" in str(found.widths[0].reason)
    assert (found.exponent, found.suggestions, found.status) == (None, (), Status.provisional)


def test_refit_width_without_a_usable_run_is_said(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 100.0), (512, 2.0, 50.0), (1024, 1.0, 100.0)])
    trials.loc[2, "state"] = "diverged"
    assert "width 1024: none of its trials (1) can be used" in refit(trials, target_l0=64).notes


def test_refit_joined_tables_with_repeated_index_use_every_row(minilm: pd.DataFrame):
    narrow = minilm["latent_dim"] < 1500
    parts = [minilm[narrow].reset_index(drop=True), minilm[~narrow].reset_index(drop=True)]
    found = refit(pd.concat(parts), target_l0=64)
    assert [width.point for width in found.widths] == [
        width.point for width in refit(minilm, target_l0=64).widths
    ]
    assert not found.exclusions


def test_refit_index_of_names_counts_rows(minilm: pd.DataFrame):
    named = minilm.set_axis([f"run {number}" for number in range(len(minilm))])
    found = refit(named, target_l0=64)
    assert found.widths[0].rows == refit(minilm, target_l0=64).widths[0].rows


def test_refit_table_that_was_not_loaded_names_the_missing_column():
    raw = pd.DataFrame({"latent_dim": [512], "l1_alpha": [1.0], "l0": [50.0]})
    with pytest.raises(AnalysisError, match=r"as analysis\.load_trials returns it.* column trial"):
        refit(raw, target_l0=64)


@pytest.mark.parametrize("state", ["complete", "diverged"])
def test_refit_suggests_no_alpha_beyond_one_that_left_nothing(make_trials: MakeTrials, state: str):
    trials = make_trials([(1024, 1.0, 150.0), (1024, 1.5, 100.0), (1024, 2.0, 0.0)])
    trials.loc[2, "state"] = state
    found = refit(trials, target_l0=64)
    assert 1.5 < float(found.suggestions[0].l1_alpha or 0) < 2.0


def test_refit_bound_of_another_recipe_is_no_bound(make_trials: MakeTrials):
    trials = make_trials([(1024, 1.0, 150.0), (1024, 1.5, 100.0), (1024, 2.0, 0.0)])
    trials.loc[2, "total_steps"] = 9999
    found = refit(trials, target_l0=64)
    assert float(found.suggestions[0].l1_alpha or 0) > 2.0


def test_refit_groups_of_one_run_name_the_best_of_them(make_trials: MakeTrials):
    trials = make_trials([(1024, 2.0, 60.0), (1024, 2.0, 66.0)])
    trials["learning_rate"] = [1e-3, 2e-3]
    found = refit(trials, target_l0=64)
    assert any("The best of 2 groups of one run is row 1" in note for note in found.notes)


def test_refit_much_noise_on_few_runs_warns_of_the_intervals(make_trials: MakeTrials):
    alphas, off = (1.0, 1.5, 2.25, 3.4, 5.1), (1.25, 0.75, 1.3, 0.75, 1.25)
    rows = [(1024, alpha, 100 / alpha * factor) for alpha, factor in zip(alphas, off, strict=True)]
    smooth = [(1024, alpha, 100 / alpha) for alpha in alphas]
    warning = "the intervals may be too narrow"
    assert any(warning in note for note in refit(make_trials(rows), target_l0=45).notes)
    assert not any(warning in note for note in refit(make_trials(smooth), target_l0=45).notes)


def test_refit_of_topk_says_that_k_sets_l0_and_asks_for_no_further_run(make_trials: MakeTrials):
    runs = [(width, 0.0, 32.0) for width in (512, 1024)]
    found = refit(make_trials(runs, architecture="topk", penalty="none"), target_l0=32)
    reasons = [found.exponent_reason, *(width.reason for width in found.widths)]
    assert reasons == ["k sets L0, so that there is no alpha to find"] * 3
    assert (found.missing, found.suggestions) == ((), ())


def test_refit_of_a_quadratic_penalty_leaves_out_runs_that_aimed_at_another_target(
    make_trials: MakeTrials,
):
    runs = [(1024, alpha, 100 / alpha) for alpha in (1.0, 2.0, 3.0, 4.0)]
    trials = make_trials(runs, architecture="jumprelu", penalty="quadratic")
    trials["target_l0"] = [40.0, 40.0, 40 / 1024, 12.0]
    reasons = {each.row: each.reason for each in refit(trials, target_l0=40).exclusions}
    assert reasons == {3: "its penalty is the distance from another target_l0"}


def test_refit_of_an_l1_penalty_takes_runs_of_every_target(make_trials: MakeTrials):
    trials = make_trials([(1024, alpha, 100 / alpha) for alpha in (1.0, 2.0, 3.0)])
    trials["target_l0"] = [40.0, 40.0, 12.0]
    assert refit(trials, target_l0=40).exclusions == ()


@pytest.mark.parametrize("target", [50, 100, 200, 280, 290, 300, 310, 340])
def test_refit_point_lies_between_the_runs_that_bracket_the_target(
    data: Path, target: float
) -> None:
    trials = load_trials(data / "l0_curve_saelens_719.csv")
    point = refit(trials, target_l0=target).widths[0].point
    assert point is not None
    assert trials.loc[trials["l0"] > target, "l1_alpha"].max() <= point
    assert point <= trials.loc[trials["l0"] < target, "l1_alpha"].min()


def test_refit_slope_held_at_its_limit_gives_no_interval(data: Path) -> None:
    trials = load_trials(data / "l0_curve_saelens_719.csv")
    [width] = refit(trials, target_l0=300).widths
    assert width.alpha_star is None
    assert width.reason == "the slope at the target is not known to be negative"


def test_refit_many_noisy_runs_of_one_curve_gives_an_interval_that_holds_the_truth(
    make_trials: MakeTrials,
):
    rng = np.random.default_rng(0)
    alphas = np.exp(rng.uniform(np.log(0.5), np.log(8), 60))
    l0 = 300 / (1 + alphas) ** 1.3 * np.exp(0.1 * rng.standard_normal(60))
    rows = [(1000, float(alpha), float(each)) for alpha, each in zip(alphas, l0, strict=True)]
    star = refit(make_trials(rows), target_l0=50).widths[0].alpha_star
    assert star is not None
    assert star.contains((300 / 50) ** (1 / 1.3) - 1)


def test_refit_collapsed_runs_at_every_width_are_noted_and_make_no_law(make_trials: MakeTrials):
    fit = refit(make_trials(FOUR_WIDTHS, fvu=0.99), target_l0=64)
    assert fit.status is Status.provisional
    assert fit.missing[0] == (
        "SAEs of use around the target at width 512 (they collapsed or are dead)"
    )
    assert all("collapsed: fvu 0.990" in width.notes[0] for width in fit.widths)


def test_refit_runs_with_a_fair_fvu_make_a_law(make_trials: MakeTrials):
    fit = refit(make_trials(FOUR_WIDTHS, fvu=0.3, dead_fraction=0.1), target_l0=64)
    assert (fit.status, fit.missing) == (Status.law, ())


def test_refit_topk_of_a_table_without_a_penalty_names_no_alpha(make_trials: MakeTrials):
    fit = refit(make_trials(FOUR_WIDTHS, architecture="topk", penalty=None), target_l0=64)
    assert {width.reason for width in fit.widths} == {K_SETS_L0}
    assert all(width.point is None for width in fit.widths)
    assert (fit.exponent, fit.suggestions, fit.missing) == (None, (), ())
