import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.search.curve_model import DEFAULT_SHAPE, Curves, ShapePrior, decode, quasi_random

X = np.linspace(-4, 3, 29)


def one(power: float, headroom: float, sharpness: float, floor: float = 0.0) -> Curves:
    return Curves(
        power=np.array([power]),
        headroom=np.array([headroom]),
        sharpness=np.array([sharpness]),
        floor=np.array([floor]),
    )


def test_curve_of_sharpness_one_is_hills():
    # L0 / target = ceiling / (1 + (ceiling - 1) * alpha^slope), alpha* = 1.
    ceiling, slope = 8.0, 1.7
    curve = one(slope, np.log(ceiling), 1.0)
    expected = np.log(ceiling / (1 + (ceiling - 1) * np.exp(slope * X)))
    np.testing.assert_allclose(curve.ln_ratio(X), expected, rtol=1e-12, atol=1e-12)


def test_curve_of_vanishing_sharpness_is_the_stretched_exponential():
    headroom, power = 2.0, 0.6
    curve = one(power, headroom, 1e-7)
    expected = headroom - headroom * np.exp(power * X)
    np.testing.assert_allclose(curve.ln_ratio(X), expected, rtol=1e-5, atol=1e-5)


def test_floor_is_added_to_what_is_above_it():
    plain, floored = one(1.5, 2.0, 0.4), one(1.5, 2.0, 0.4, floor=0.8)
    expected = np.log(0.8 + 0.2 * np.exp(plain.ln_ratio(X)))
    np.testing.assert_allclose(floored.ln_ratio(X), expected, rtol=1e-12, atol=1e-14)


@given(coordinates=st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_every_curve_passes_through_its_target_and_falls(coordinates: list[float]):
    curve = decode(np.array([coordinates]), DEFAULT_SHAPE, 3.0)
    y = np.concatenate([curve.ln_ratio(np.array(x)) for x in X])
    assert curve.ln_ratio(np.array(0.0))[0] == pytest.approx(0, abs=1e-9)
    assert np.all(np.diff(y) <= 1e-12)


def test_slope_at_the_target_is_the_stated_elasticity():
    curve, h = one(1.5, 2.0, 0.4, floor=0.5), 1e-5
    difference = (curve.ln_ratio(np.array(-h)) - curve.ln_ratio(np.array(h))) / (2 * h)
    assert difference[0] == pytest.approx(0.5 * 1.5 * (1 - np.exp(-0.8)) / 0.4, rel=1e-6)


def test_curve_far_beyond_its_ends_is_finite():
    curve = one(3.0, 4.0, 1e-3)
    assert np.all(np.isfinite(curve.ln_ratio(np.array([-50.0, 5.0]))))


def test_decode_without_floors_has_none():
    shape = ShapePrior(floor_probability=0.0)
    assert np.all(decode(np.full((1, 4), 3.0), shape, 3.0).floor == 0)


def test_decode_gives_a_floor_to_the_stated_share():
    coordinates = np.zeros((4001, 4))
    coordinates[:, 3] = np.random.default_rng(0).standard_normal(4001)
    floored = decode(coordinates, DEFAULT_SHAPE, 3.0).floor > 0
    assert floored.mean() == pytest.approx(DEFAULT_SHAPE.floor_probability, abs=0.03)


def test_quasi_random_points_are_evenly_spread():
    points = quasi_random(1000, 5)
    np.testing.assert_allclose(points.mean(axis=0), 0.5, atol=0.005)
    np.testing.assert_allclose(points.std(axis=0), 12**-0.5, atol=0.005)


@given(coordinates=st.lists(st.floats(-2, 2), min_size=4, max_size=4))
def test_elasticity_at_target_is_the_slope_there(coordinates: list[float]):
    curve = decode(np.array([coordinates]), DEFAULT_SHAPE, np.log(20.0))
    step = 1e-4
    slope = (curve.ln_ratio(np.array([step])) - curve.ln_ratio(np.array([-step]))) / (2 * step)
    np.testing.assert_allclose(curve.elasticity_at_target(), -slope, rtol=1e-5)
