import numpy as np
import pytest
from scipy.special import ndtri

from sweeper.search.curve_model import Array, quasi_random
from sweeper.search.tempering import sample_posterior


def normal_prior(points: Array) -> Array:
    return -0.5 * (points**2).sum(axis=1)


def test_sample_of_a_conjugate_posterior_has_its_moments():
    prior = ndtri(quasi_random(4000, 2))

    def log_likelihood(points: Array) -> Array:
        return -0.5 * ((points[:, 0] - 1.5) / 0.05) ** 2

    sample = sample_posterior(prior, normal_prior, log_likelihood)
    precision = 1 + 0.05**-2
    assert sample[:, 0].mean() == pytest.approx(1.5 * 0.05**-2 / precision, abs=0.004)
    assert sample[:, 0].std() == pytest.approx(precision**-0.5, rel=0.1)
    assert sample[:, 1].std() == pytest.approx(1, rel=0.1)


def test_sample_of_two_separate_modes_keeps_both():
    prior = ndtri(quasi_random(2000, 2))

    def log_likelihood(points: Array) -> Array:
        return np.logaddexp(
            -0.5 * ((points[:, 0] - 1.0) / 0.1) ** 2, -0.5 * ((points[:, 0] + 1.0) / 0.1) ** 2
        )

    sample = sample_posterior(prior, normal_prior, log_likelihood)
    assert (sample[:, 0] > 0).mean() == pytest.approx(0.5, abs=0.1)


def test_sample_of_equal_input_is_equal():
    prior = ndtri(quasi_random(200, 2))
    first = sample_posterior(prior, normal_prior, lambda p: -10 * p[:, 0] ** 2)
    second = sample_posterior(prior, normal_prior, lambda p: -10 * p[:, 0] ** 2)
    np.testing.assert_array_equal(first, second)


def test_sample_under_a_flat_likelihood_stays_the_prior():
    prior = ndtri(quasi_random(2000, 2))
    sample = sample_posterior(prior, normal_prior, lambda p: np.zeros(len(p)))
    np.testing.assert_allclose(sample.std(axis=0), 1, rtol=0.1)
