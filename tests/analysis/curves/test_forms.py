from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.curves import FORMS, Form, fit_curve
from analysis.errors import AnalysisError

VALUES = {"A": 300.0, "k": 0.8, "s": 1.1, "scale": 0.7, "p": 1.3, "F": 12.0}


def values_of(form: Form, values: Mapping[str, float] = VALUES) -> dict[str, float]:
    return {name: values[name] for name in FORMS[form].parameters}


@pytest.mark.parametrize("form", list(Form))
def test_predict_falls_with_alpha_and_inverse_undoes_it(form: Form):
    spec, values = FORMS[form], values_of(form)
    l0 = spec.predict(np.array([0.3, 1.0, 3.0]), values)
    assert list(l0) == sorted(l0, reverse=True)
    assert spec.inverse(float(l0[1]), values) == pytest.approx(1.0, rel=1e-10)


@pytest.mark.parametrize(
    ("form", "above_the_floor"),
    [
        ("exponential", 300 * np.exp(-0.8 * 2)),
        ("power", 300 * 2**-1.1),
        ("stretched", 300 * np.exp(-((2 / 0.7) ** 1.3))),
        ("hill", 300 / (1 + (2 / 0.7) ** 1.3)),
    ],
)
def test_predict_agrees_with_its_formula(form: str, above_the_floor: float):
    plain, floored = Form(form), Form(f"{form}_floor")
    two = np.array(2.0)
    assert float(FORMS[plain].predict(two, values_of(plain))) == pytest.approx(above_the_floor)
    assert float(FORMS[floored].predict(two, values_of(floored))) == pytest.approx(
        above_the_floor + 12
    )


@pytest.mark.parametrize("form", list(Form))
def test_log_model_jacobian_agrees_with_finite_differences(form: Form):
    spec = FORMS[form]
    log_alpha = np.log([0.2, 1.0, 4.0])
    theta = np.log([list(values_of(form).values())])
    jacobian = spec.log_model(log_alpha, theta)[1][0]
    for index in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[0, index] = 1e-6
        up, down = (spec.log_model(log_alpha, theta + sign * step)[0][0] for sign in (1, -1))
        assert jacobian[:, index] == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("form", [form for form in Form if FORMS[form].has_ceiling])
def test_predict_at_alpha_zero_is_the_ceiling(form: Form):
    values = values_of(form)
    expected = values["A"] + values.get("F", 0.0)
    assert float(FORMS[form].predict(np.array(0.0), values)) == pytest.approx(expected)


@pytest.mark.parametrize("form", [form for form in Form if FORMS[form].has_ceiling])
def test_inverse_above_the_ceiling_is_refused(form: Form):
    with pytest.raises(AnalysisError, match="above the model's ceiling"):
        FORMS[form].inverse(400.0, values_of(form))


@pytest.mark.parametrize("form", [form for form in Form if FORMS[form].has_floor])
def test_inverse_below_the_floor_is_refused(form: Form):
    with pytest.raises(AnalysisError, match="below the model's floor"):
        FORMS[form].inverse(11.0, values_of(form))


def random_values(form: Form, rng: np.random.Generator) -> dict[str, float]:
    scale, ceiling = float(np.exp(rng.normal())), float(np.exp(rng.normal(4, 1)))
    values = {
        "A": ceiling,
        "k": 1 / scale,
        "s": float(rng.uniform(0.5, 2)),
        "scale": scale,
        "p": float(rng.uniform(0.6, 2)),
    }
    height = ceiling * scale ** -values["s"] if form is Form.power_floor else ceiling
    values["F"] = height * float(np.exp(rng.uniform(np.log(1e-2), np.log(0.3))))
    return values_of(form, values)


@pytest.mark.parametrize("form", list(Form))
def test_fit_curve_200_random_noise_free_sets_are_recovered_to_1e_8(form: Form):
    rng = np.random.default_rng(20)
    for _ in range(200):
        values = random_values(form, rng)
        middle = values.get("scale", 1 / values.get("k", 1.0))
        alpha = middle * np.exp(np.linspace(-2.5, 2.0, 12))
        found = fit_curve(alpha, FORMS[form].predict(alpha, values), form).parameters
        assert dict(found) == pytest.approx(values, rel=1e-8)


@given(
    factor=st.floats(1e-3, 1e3),
    height=st.floats(1e-3, 1e3),
    form=st.sampled_from([Form.hill, Form.stretched_floor, Form.exponential]),
)
def test_fit_curve_other_units_change_only_the_units(factor: float, height: float, form: Form):
    alpha = np.array([0.1, 0.3, 0.6, 1.0, 2.0, 3.0, 5.0])
    l0 = FORMS[form].predict(alpha, values_of(form))
    fit = fit_curve(alpha * factor, l0 * height, form)
    assert fit.rms_log < 1e-6
    assert fit.inverse(60 * height) == pytest.approx(
        factor * FORMS[form].inverse(60, values_of(form)), rel=1e-5
    )
