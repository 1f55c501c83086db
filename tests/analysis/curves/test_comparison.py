import numpy as np
import pandas as pd
import pytest

from analysis.curves import FORMS, Form, compare_forms
from analysis.curves.comparison import Comparison
from analysis.errors import AnalysisError
from analysis.trials import load_trials


@pytest.fixture(scope="module")
def saelens(data: "object") -> Comparison:
    trials = load_trials(f"{data}/l0_curve_saelens_719.csv")
    return compare_forms(trials["l1_alpha"].to_numpy(), trials["l0"].to_numpy())


def test_compare_forms_saelens_curve_chooses_hill_with_floor(saelens: Comparison):
    assert saelens.choice is Form.hill_floor
    assert saelens.by_stated_noise is Form.hill_floor
    fit = saelens.score("hill_floor").fit
    assert fit.rms_log < 0.012
    assert fit.parameters["F"] == pytest.approx(26, rel=0.02)


def test_compare_forms_saelens_curve_says_that_free_sigma_disagrees(saelens: Comparison):
    assert saelens.by_free_noise is not Form.hill_floor
    assert "AICc with free sigma disagrees" in " ".join(saelens.notes)


def test_compare_forms_run_at_alpha_zero_makes_power_not_comparable(saelens: Comparison):
    assert not saelens.score(Form.power).comparable
    assert saelens.score(Form.power).weight == 0


def test_average_alpha_is_that_of_the_only_weighted_form(saelens: Comparison):
    alpha, spread = saelens.average_alpha(100)
    assert alpha == pytest.approx(saelens.score("hill_floor").fit.inverse(100), rel=1e-3)
    assert spread < 0.01


def test_average_alpha_unreachable_target_is_refused(saelens: Comparison):
    with pytest.raises(AnalysisError, match="target_l0 must be reached by some form"):
        saelens.average_alpha(10_000)


def test_leave_one_out_agrees_with_fitting_without_each_alpha():
    alpha = np.array([0.3, 0.6, 1.0, 1.8, 3.0])
    noise = np.exp([0.02, -0.03, 0.01, 0.02, -0.02])
    l0 = 100 * alpha**-1.1 * noise
    errors: list[float] = []
    for index in range(5):
        kept = np.arange(5) != index
        line = np.polyfit(np.log(alpha[kept]), np.log(l0[kept]), 1)
        errors.append(float(np.log(l0[index]) - np.polyval(line, np.log(alpha[index]))))
    found = compare_forms(alpha, l0).score(Form.power).leave_one_out
    assert found == pytest.approx(float(np.sqrt(np.mean(np.square(errors)))), rel=1e-6)


def test_aicc_agrees_with_its_formula():
    alpha = np.array([0.3, 0.6, 1.0, 1.8, 3.0, 5.0])
    l0 = 100 * alpha**-1.1 * np.exp([0.02, -0.03, 0.01, 0.02, -0.02, 0.01])
    score = compare_forms(alpha, l0).score(Form.power)
    rss = score.fit.rms_log**2 * 6
    assert score.aicc_free_noise == pytest.approx(6 * np.log(rss / 6) + 6 + 24 / 2)
    assert score.aicc_stated_noise == pytest.approx(rss / 0.03**2 + 4 + 12 / 3)


def test_compare_forms_exact_power_weights_the_power():
    alpha = np.exp(np.linspace(-1, 1.5, 8))
    comparison = compare_forms(alpha, 100 * alpha**-1.1)
    assert comparison.score(Form.power).weight > 0.2
    assert comparison.average_alpha(100)[0] == pytest.approx(1, rel=1e-2)


def test_compare_forms_floor_at_zero_is_not_compared():
    alpha = np.exp(np.linspace(-1, 1.5, 8))
    score = compare_forms(alpha, 100 * alpha**-1.1).score(Form.power_floor)
    assert score.fit.without_floor
    assert not score.comparable
    assert "the floor went to 0" in score.fit.flags[0]


def test_compare_forms_two_alphas_scores_nothing():
    comparison = compare_forms([1.0, 2.0], [100.0, 50.0])
    assert {score.fit.form for score in comparison.scores} == {Form.exponential, Form.power}
    assert (comparison.choice, comparison.by_stated_noise, comparison.by_free_noise) == (None,) * 3
    assert {score.weight for score in comparison.scores} == {0.0}


def test_compare_forms_as_many_parameters_as_alphas_is_not_fitted():
    compared = compare_forms([1.0, 2.0, 4.0], [100.0, 50.0, 25.0])
    assert {score.fit.form for score in compared.scores} == {"exponential", "power"}


def test_score_form_that_the_runs_do_not_allow_is_refused():
    with pytest.raises(AnalysisError, match="form must be one that the runs allow"):
        compare_forms([1.0, 2.0], [100.0, 50.0]).score(Form.hill)


def test_compare_forms_rising_runs_do_not_fail():
    comparison = compare_forms([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0])
    assert comparison.score(Form.power).leave_one_out is None


def test_average_alpha_measured_curves_is_near_interpolation(minilm: pd.DataFrame):
    for width, alpha in {512: 3.15, 1024: 2.75, 2048: 2.48, 4096: 2.05}.items():
        runs = minilm[minilm["latent_dim"] == width]
        comparison = compare_forms(runs["l1_alpha"].to_numpy(), runs["l0"].to_numpy())
        assert comparison.average_alpha(0.05 * width)[0] == pytest.approx(alpha, rel=0.05)


def test_compare_forms_many_runs_finds_the_true_form():
    rng = np.random.default_rng(1)
    alpha = np.exp(rng.uniform(-1.5, 1.5, 80))
    values = {"A": 300.0, "scale": 0.7, "p": 1.3, "F": 12.0}
    l0 = FORMS[Form.hill_floor].predict(alpha, values) * np.exp(rng.normal(scale=0.01, size=80))
    assert compare_forms(alpha, l0).choice is Form.hill_floor
