import numpy as np
import pytest
from scipy import stats

from analysis.mixture import Estimate, estimate, normalised, quantile, ratio_variance


def test_estimate_single_component_is_the_normal_interval():
    found = estimate(np.array([1.0]), np.array([2.0]), np.array([9.0]))
    assert (found.low, found.value, found.high) == pytest.approx(
        (2 - 1.959964 * 3, 2, 2 + 1.959964 * 3), rel=1e-6
    )


def test_estimate_many_scales_reproduces_students_t():
    # A t with 4 degrees of freedom is a mixture of normals over the inverse chi-square.
    share = (np.arange(4000) + 0.5) / 4000
    variances = 4 / stats.chi2.ppf(share, df=4)
    found = estimate(np.full(4000, 1 / 4000), np.zeros(4000), variances)
    assert found.high == pytest.approx(stats.t.ppf(0.975, df=4), rel=2e-3)


def test_quantile_two_far_components_lies_in_the_heavier():
    assert quantile(
        0.5, np.array([0.3, 0.7]), np.array([-5.0, 5.0]), np.array([0.1, 0.1])
    ) == pytest.approx(5, abs=0.2)


def test_estimate_zero_variance_is_a_point():
    found = estimate(np.array([1.0]), np.array([2.0]), np.array([0.0]))
    assert found.high - found.low < 1e-10


def test_normalised_huge_logarithms_do_not_overflow():
    assert normalised(np.array([5000.0, 5000.0])).tolist() == [0.5, 0.5]


def test_estimate_exp_maps_the_ends():
    assert Estimate(value=0, low=-1, high=1).exp().high == pytest.approx(np.e)


def test_estimate_contains_its_ends_only_inwards():
    interval = Estimate(value=0, low=-1, high=1)
    assert interval.contains(1)
    assert not interval.contains(1.01)


def test_ratio_variance_agrees_with_sampling_correlated_normals():
    covariance = np.array([[0.04, 0.018], [0.018, 0.01]])
    draws = np.random.default_rng(0).multivariate_normal([2.0, -3.0], covariance, size=400_000)
    found = ratio_variance(
        np.array(2.0 / -3.0), np.array(-3.0), (np.array(0.04), np.array(0.01), np.array(0.018))
    )
    assert float(found) == pytest.approx(float(np.var(draws[:, 0] / draws[:, 1])), rel=0.02)
