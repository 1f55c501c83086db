import numpy as np
import numpy.typing as npt
import pytest

from analysis.curves import FORMS, Form, compare_forms, fit_curve

Array = npt.NDArray[np.floating]

ALPHA = np.exp(np.linspace(-1.5, 1.5, 10))
HILL = {"A": 300.0, "scale": 0.7, "p": 1.3}
ERRORS = np.array([0.02, -0.03, 0.01, 0.02, -0.02, 0.03, -0.01, 0.0, 0.02, -0.02])


def hill(alpha: Array = ALPHA, errors: Array = ERRORS) -> Array:
    return FORMS[Form.hill].predict(alpha, HILL) * np.exp(errors[: len(alpha)])


def with_one_off(l0: Array, index: int, factor: float) -> Array:
    moved = l0.copy()
    moved[index] *= factor
    return moved


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_compare_forms_run_off_the_curve_counts_less_and_no_other(factor: float):
    found = compare_forms(ALPHA, with_one_off(hill(), 4, factor)).run_weights
    assert found[4] < 0.5
    assert {weight for index, weight in enumerate(found) if index != 4} == {1.0}


def test_compare_forms_run_off_the_curve_moves_alpha_little():
    truth = compare_forms(ALPHA, hill()).average_alpha(100)[0]
    l0 = with_one_off(hill(), 4, 2.5)
    robust = compare_forms(ALPHA, l0).average_alpha(100)[0]
    plain = fit_curve(ALPHA, l0, Form.hill).inverse(100)
    assert abs(np.log(robust / truth)) < 0.5 * abs(np.log(plain / truth))


@pytest.mark.parametrize("n", [3, 4, 5])
def test_compare_forms_fewer_than_six_alphas_all_count(n: int):
    alpha = ALPHA[2 : 2 + n]
    found = compare_forms(alpha, with_one_off(hill(alpha), n // 2, 3.0))
    assert found.run_weights == (1.0,) * n


def test_compare_forms_many_runs_at_five_alphas_all_count():
    alpha = np.repeat(ALPHA[:5], 4)
    l0 = with_one_off(FORMS[Form.hill].predict(alpha, HILL), 9, 3.0)
    assert set(compare_forms(alpha, l0).run_weights) == {1.0}


def test_compare_forms_clean_runs_are_fitted_by_plain_least_squares():
    found = compare_forms(ALPHA, hill())
    assert found.run_weights == (1.0,) * len(ALPHA)
    for score in found.scores:
        plain = fit_curve(ALPHA, hill(), score.fit.form)
        assert score.fit.parameters == plain.parameters


def test_compare_forms_clean_noisy_curves_hardly_ever_lose_a_run():
    rng = np.random.default_rng(3)
    lost = 0
    for form in ("power", "hill", "stretched_floor"):
        values = {"A": 200.0, "s": 1.2, "scale": 0.8, "p": 1.1, "F": 6.0}
        l0 = FORMS[Form(form)].predict(ALPHA, values)
        for _ in range(5):
            noisy = l0 * np.exp(rng.normal(scale=0.05, size=len(ALPHA)))
            lost += min(compare_forms(ALPHA, noisy).run_weights) < 1
    assert lost == 0


def test_compare_forms_half_of_the_runs_off_is_a_wrong_form_and_not_wrong_runs():
    factors = np.where(np.arange(10) % 2, 3.0, 1.0)
    assert set(compare_forms(ALPHA, hill() * factors).run_weights) == {1.0}


def test_compare_forms_run_judged_on_few_tokens_is_not_off_the_curve():
    l0 = with_one_off(hill(), 4, 1.6)
    weights = np.ones(len(ALPHA))
    assert compare_forms(ALPHA, l0, weights).run_weights[4] < 1
    weights[4] = 0.03**2 / (0.03**2 + 0.5**2)
    assert compare_forms(ALPHA, l0, weights).run_weights == (1.0,) * len(ALPHA)
