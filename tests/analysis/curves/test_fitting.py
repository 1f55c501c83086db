import math

import numpy as np
import pandas as pd
import pytest

from analysis.curves import Form, fit_curve, two_point_exponent
from analysis.errors import AnalysisError

# The guide's jobs 1 and 3, the two that its printed curve goes through.
GUIDE_ALPHA, GUIDE_L0 = [0.1, 0.5], [0.0497, 0.0106]


def test_fit_curve_exponential_through_the_guides_two_jobs_gives_its_numbers():
    fit = fit_curve(GUIDE_ALPHA, GUIDE_L0, "exponential")
    assert fit.parameters["k"] == pytest.approx(3.862877, abs=5e-7)
    assert fit.parameters["A"] == pytest.approx(0.0731339, abs=5e-8)
    assert fit.dof == 0
    assert "0 d.o.f." in fit.flags[0]


@pytest.mark.parametrize(("target", "alpha"), [(0.05, 0.0984), (0.045, 0.1257), (0.055, 0.0737)])
def test_inverse_of_the_guides_curve_gives_alpha_for_a_fraction(target: float, alpha: float):
    fit = fit_curve(GUIDE_ALPHA, GUIDE_L0, Form.exponential)
    assert fit.inverse(target) == pytest.approx(alpha, abs=1e-4)


def test_inverse_above_the_ceiling_is_refused():
    fit = fit_curve(GUIDE_ALPHA, GUIDE_L0, Form.exponential)
    with pytest.raises(AnalysisError, match="above the model's ceiling"):
        fit.inverse(0.1)


def test_inverse_of_no_target_is_refused():
    fit = fit_curve(GUIDE_ALPHA, GUIDE_L0, Form.power)
    with pytest.raises(AnalysisError, match="target_l0 must be positive, but got 0"):
        fit.inverse(0)


def test_fit_curve_power_through_the_guides_two_jobs_gives_the_slope():
    assert fit_curve(GUIDE_ALPHA, GUIDE_L0, "power").parameters["s"] == pytest.approx(
        0.960, abs=5e-4
    )


def test_fit_curve_exponential_through_three_jobs_predicts_the_audited_misfit():
    fit = fit_curve([0.1, 0.5, 0.001], [0.0497, 0.0106, 0.381], "exponential")
    assert fit.parameters["A"] == pytest.approx(0.2038, abs=5e-5)
    assert fit.parameters["k"] == pytest.approx(6.225, abs=5e-4)
    assert float(fit.predict(0.1)) == pytest.approx(0.109, abs=5e-4)


def test_two_point_exponent_of_the_guide_is_its_law():
    assert two_point_exponent((32768, 0.001), (65536, 0.1)) == pytest.approx(6.643856, abs=5e-7)


def test_two_point_exponent_same_width_is_refused():
    with pytest.raises(AnalysisError, match="two points must be positive with different x"):
        two_point_exponent((32768, 0.001), (32768, 0.1))


def test_fit_curve_misfit_is_the_rms_and_largest_factor_of_the_residuals():
    alpha, l0 = np.array([1.0, 2.0, 4.0]), np.array([100.0, 60.0, 20.0])
    fit = fit_curve(alpha, l0, "power")
    residuals = np.log(l0 / fit.predict(alpha))
    assert fit.rms_log == pytest.approx(np.sqrt(np.mean(residuals**2)))
    assert fit.max_factor == pytest.approx(np.exp(np.max(np.abs(residuals))))


def test_fit_curve_zero_alpha_anchors_the_ceiling_of_the_exponential_only():
    alpha, l0 = [0.0, 1.0, 2.0], [100.0, 50.0, 25.0]
    assert fit_curve(alpha, l0, "exponential").parameters["A"] == pytest.approx(100)
    assert fit_curve(alpha, l0, "power").n == 2


@pytest.mark.parametrize(
    ("form", "l0", "target"),
    [
        ("exponential", [30.0, 30.0, 30.0], 1.0),
        ("power", [30.0, 30.0, 30.0], 1.0),
        ("exponential", [30.0, 31.0, 32.0], 1.0),
        ("power", [30.0, 31.0, 32.0], 1.0),
        ("power", [30.0, 30.0, 29.9999], 1e-300),
    ],
)
def test_inverse_of_a_flat_or_rising_curve_is_refused(form: str, l0: list[float], target: float):
    fit = fit_curve([1.0, 2.0, 4.0], l0, form)
    with pytest.raises(AnalysisError, match="target_l0 must be"):
        fit.inverse(target)


@pytest.mark.parametrize("form", ["exponential", "power"])
def test_predict_of_a_rising_fit_is_nan(form: str):
    fit = fit_curve([1.0, 2.0, 3.0], [10.0, 20.0, 30.0], form)
    assert np.isnan(fit.predict([1.0, 2.0])).tolist() == [True, True]


def test_fit_curve_rising_data_is_flagged():
    assert "does not fall" in " ".join(fit_curve([1, 2, 3], [1, 2, 3], "power").flags)


@pytest.mark.parametrize(
    ("alpha", "l0", "message"),
    [
        ([1.0], [2.0], "must have at least 2 distinct alphas, but got 1"),
        ([1.0, 1.0], [2.0, 3.0], "must have at least 2 distinct alphas, but got 1"),
        ([1.0, 2.0], [2.0], "alpha, l0 and weights must be of one length"),
        ([-1.0, 2.0], [2.0, 1.0], "alpha must be at least 0"),
        ([1.0, np.nan], [2.0, 1.0], "alpha must be at least 0"),
        ([1.0, 2.0], [0.0, 1.0], "l0 must be positive"),
        ([1.0, 2.0], [np.nan, 1.0], "l0 must be positive"),
    ],
)
def test_fit_curve_bad_input_is_one_line(alpha: list[float], l0: list[float], message: str):
    with pytest.raises(AnalysisError, match=message):
        fit_curve(alpha, l0, "power")


def test_fit_curve_global_forms_miss_the_measured_curves(minilm: pd.DataFrame):
    run = minilm[minilm["latent_dim"] == 4096]
    misses = [
        fit_curve(run["l1_alpha"].to_numpy(), run["l0"].to_numpy(), form).rms_log
        for form in (Form.exponential, Form.power)
    ]
    assert min(misses) > 0.1


@pytest.mark.parametrize("form", [Form.exponential, Form.power])
def test_fit_curve_noise_free_data_is_recovered_exactly(form: Form):
    rng = np.random.default_rng(7)
    for _ in range(200):
        scale, rate = float(np.exp(rng.normal(3, 2))), float(np.exp(rng.normal(0, 1)))
        alpha = np.exp(rng.normal(size=5)) / (rate if form is Form.exponential else 1.0)
        l0 = scale * np.exp(-rate * alpha) if form is Form.exponential else scale * alpha**-rate
        found = list(fit_curve(alpha, l0, form).parameters.values())
        assert found == pytest.approx([scale, rate], rel=1e-8)


@pytest.mark.parametrize("form", ["power", "exponential", "hill"])
def test_fit_curve_weight_two_is_the_run_twice(form: str):
    alpha = np.array([0.3, 0.6, 1.0, 1.8, 3.0])
    l0 = np.array([310.0, 180.0, 120.0, 61.0, 30.0])
    twice = fit_curve([*alpha, 1.0], [*l0, 120.0], form)
    weighted = fit_curve(alpha, l0, form, np.array([1.0, 1.0, 2.0, 1.0, 1.0]))
    assert weighted.parameters == pytest.approx(twice.parameters, rel=1e-6)
    assert weighted.rms_log == pytest.approx(twice.rms_log, rel=1e-6)
    assert (weighted.n, weighted.weight) == (5, 6.0)


def test_fit_curve_weight_of_zero_is_refused():
    with pytest.raises(AnalysisError, match=r"weights must be positive, but got \[1.0, 0.0\]"):
        fit_curve([1.0, 2.0], [2.0, 1.0], "power", np.array([1.0, 0.0]))


@pytest.mark.parametrize("form", list(Form))
def test_fit_curve_alphas_that_are_nearly_equal_give_a_finite_fit(form: Form):
    alphas = [1.0, 1 + 1e-10, 1 + 2e-10, 1 + 3e-10]

    fit = fit_curve(alphas, [800.0, 283.0, 154.0, 100.0], form)

    assert math.isfinite(fit.rms_log)
    assert all(math.isfinite(value) for value in fit.parameters.values())
