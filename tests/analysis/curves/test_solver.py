"""Against the certified values of NIST's Statistical Reference Datasets, nonlinear regression."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import least_squares as scipy_least_squares

from analysis.curves.solver import Model, best_of, least_squares

Array = npt.NDArray[np.floating]
Curve = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Certified:
    curve: Curve
    x: Sequence[float]
    y: Sequence[float]
    starts: Sequence[Sequence[float]]
    parameters: Sequence[float]
    sum_of_squares: float


def saturating(x: Array, b: Array) -> Array:
    return b[0] * (1 - np.exp(-b[1] * x))


def saturating_power(x: Array, b: Array) -> Array:
    return b[0] * (1 - (1 + b[1] * x / 2) ** -2)


def rational(x: Array, b: Array) -> Array:
    return b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3])


def reciprocal_exponential(x: Array, b: Array) -> Array:
    return b[0] * np.exp(b[1] / (x + b[2]))


def logistic(x: Array, b: Array) -> Array:
    return b[0] / (1 + np.exp(b[1] - b[2] * x))


def richards(x: Array, b: Array) -> Array:
    return b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3])


MISRA_X = [
    77.6,
    114.9,
    141.1,
    190.8,
    239.9,
    289.0,
    332.8,
    378.4,
    434.8,
    477.3,
    536.8,
    593.1,
    689.1,
    760.0,
]
MISRA_Y = [
    10.07,
    14.73,
    17.94,
    23.93,
    29.61,
    35.18,
    40.02,
    44.82,
    50.76,
    55.05,
    61.01,
    66.40,
    75.47,
    81.78,
]

DATASETS = {
    "Misra1a": Certified(
        saturating,
        MISRA_X,
        MISRA_Y,
        [[500, 0.0001], [250, 0.0005]],
        [2.3894212918e02, 5.5015643181e-04],
        1.2455138894e-01,
    ),
    "Misra1b": Certified(
        saturating_power,
        MISRA_X,
        MISRA_Y,
        [[500, 0.0001], [300, 0.0002]],
        [3.3799746163e02, 3.9039091287e-04],
        7.5464681533e-02,
    ),
    "BoxBOD": Certified(
        saturating,
        [1, 2, 3, 5, 7, 10],
        [109, 149, 149, 191, 213, 224],
        [[1, 1], [100, 0.75]],
        [2.1380940889e02, 5.4723748542e-01],
        1.1680088766e03,
    ),
    "MGH09": Certified(
        rational,
        [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625],
        [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246],
        [[0.25, 0.39, 0.415, 0.39]],
        [1.9280693458e-01, 1.9128232873e-01, 1.2305650693e-01, 1.3606233068e-01],
        3.0750560385e-04,
    ),
    "MGH10": Certified(
        reciprocal_exponential,
        list(np.arange(50.0, 126.0, 5.0)),
        [
            34780,
            28610,
            23650,
            19630,
            16370,
            13720,
            11540,
            9744,
            8261,
            7030,
            6005,
            5147,
            4427,
            3820,
            3307,
            2872,
        ],
        [[0.02, 4000, 250]],
        [5.6096364710e-03, 6.1813463463e03, 3.4522363462e02],
        8.7945855171e01,
    ),
    "Rat42": Certified(
        logistic,
        [9, 14, 21, 28, 42, 57, 63, 70, 79],
        [8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08],
        [[100, 1, 0.1], [75, 2.5, 0.07]],
        [7.2462237576e01, 2.6180768402e00, 6.7359200066e-02],
        8.0565229338e00,
    ),
    "Rat43": Certified(
        richards,
        [float(x) for x in range(1, 16)],
        [
            16.08,
            33.83,
            65.8,
            97.2,
            191.55,
            326.2,
            386.87,
            520.53,
            590.03,
            651.92,
            724.93,
            699.56,
            689.96,
            637.56,
            717.41,
        ],
        [[100, 10, 1, 1], [700, 5, 0.75, 1.3]],
        [6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00],
        8.7864049080e03,
    ),
}


def batched(curve: Curve, x: Array) -> Model:
    """The curve and its Jacobian (complex step: exact to rounding) for a batch of parameters."""

    def model(parameters: Array) -> tuple[Array, Array]:
        values = np.array([curve(x, each) for each in parameters])
        columns = [
            [np.imag(curve(x, each + 1e-30j * axis)) / 1e-30 for axis in np.eye(len(each))]
            for each in parameters
        ]
        return values, np.moveaxis(np.array(columns), 1, 2)

    return model


@pytest.mark.parametrize("name", DATASETS)
def test_best_of_reaches_the_certified_parameters_to_eight_digits(name: str):
    case = DATASETS[name]
    model = batched(case.curve, np.array(case.x))
    starts = np.array(case.starts, dtype=float)
    found, rss = best_of(model, np.array(case.y, dtype=float), starts, iterations=2000)
    assert list(found) == pytest.approx(case.parameters, rel=1e-8)
    assert rss == pytest.approx(case.sum_of_squares, rel=1e-9)


def test_least_squares_weights_leave_runs_out():
    x = np.linspace(0.1, 3, 12)
    y = saturating(x, np.array([5.0, 0.8]))
    y[3] = 100
    weights = np.ones((1, 12))
    weights[0, 3] = 0
    found, _ = least_squares(batched(saturating, x), y, np.array([[1.0, 1.0]]), weights)
    assert found[0].tolist() == pytest.approx([5.0, 0.8], rel=1e-10)


def test_least_squares_agrees_with_scipy_on_noisy_data():
    x = np.linspace(0.1, 3, 12)
    y = saturating(x, np.array([5.0, 0.8])) + np.random.default_rng(0).normal(scale=0.1, size=12)
    found, _ = least_squares(batched(saturating, x), y, np.array([[1.0, 1.0]]))

    def residual(b: Array) -> Array:
        return saturating(x, b) - y

    reference = scipy_least_squares(residual, [1.0, 1.0], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert found[0].tolist() == pytest.approx(reference.x.tolist(), rel=1e-6)


def test_least_squares_hopeless_start_costs_infinity_and_does_not_disturb_others():
    x = np.linspace(0.1, 3, 12)
    y = saturating(x, np.array([5.0, 0.8]))
    starts = np.array([[1.0, -1e4], [1.0, 1.0]])
    found, cost = least_squares(batched(saturating, x), y, starts)
    assert np.isinf(cost[0])
    assert found[1].tolist() == pytest.approx([5.0, 0.8], rel=1e-10)
