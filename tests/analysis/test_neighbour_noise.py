import math

import numpy as np
import pytest

from analysis.neighbour_noise import neighbour_noise


def test_neighbour_noise_on_a_steep_curve_is_the_runs_own():
    rng = np.random.default_rng(0)
    u = np.sort(rng.uniform(-1, 2, 500))
    y = -1.3 * np.log1p(np.exp(u)) + 0.07 * rng.standard_normal(500)
    assert neighbour_noise(u, y, np.ones(500)) == pytest.approx(0.07, rel=0.15)


def test_neighbour_noise_of_means_is_that_of_single_runs():
    rng = np.random.default_rng(0)
    u, counts = np.linspace(-1, 2, 400), np.tile([1.0, 4.0, 9.0, 2.0], 100)
    y = -u + 0.05 * rng.standard_normal(400) / np.sqrt(counts)
    assert neighbour_noise(u, y, counts) == pytest.approx(0.05, rel=0.15)


def test_neighbour_noise_leap_of_the_curve_leaves_it_as_it_is():
    u = np.linspace(-1, 2, 20)
    leap = math.log(2) * (u > 0)
    assert neighbour_noise(u, leap - u, np.ones(20)) == pytest.approx(0, abs=1e-12)


def test_neighbour_noise_few_alphas_is_not_told():
    assert neighbour_noise(np.arange(11.0), -np.arange(11.0), np.ones(11)) is None
