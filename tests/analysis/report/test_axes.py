import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from analysis.report.axes import log_axis, log_limits, log_ticks

POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
EXTREMES = [
    [5e-324],
    [5e-324, 1e-310],
    [1e-320, 1.0],
    [1e-300, 1e300],
    [1e307, sys.float_info.max],
    [5e-324, 1.0, sys.float_info.max],
]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.4, 9.0, [0.5, 1, 2, 5]),
        (1.9, 3.4, [2, 2.5, 3]),
        (3.0, 700.0, [3, 10, 30, 100, 300]),
        (1.51, 1.58, [1.54]),
        (8.4, 27.0, [9, 12, 16, 20]),
        (0.9, 1.2e4, [1, 10, 100, 1000, 10000]),
        (1e-12, 1e12, [1e-10, 1e-5, 1, 1e5, 1e10]),
        (1e-300, 1e300, [1e-300, 1e-200, 1e-100, 1, 1e100, 1e200, 1e300]),
        (3e-300, 8e-300, [3e-300, 4e-300, 5e-300, 7e-300]),
    ],
)
def test_log_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(ticks)


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6))
def test_log_ticks_lie_within_the_limits(low: float, factor: float) -> None:
    assert all(low <= tick <= low * factor for tick in log_ticks(low, low * factor))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1))
def test_log_limits_hold_all_values_with_room(values: list[float]) -> None:
    low, high = log_limits(values)

    assert low < min(values)
    assert high > max(values)


@given(st.lists(POSITIVE, min_size=1))
def test_log_limits_of_any_floats_are_finite_apart_and_marked_by_a_handful_of_ticks(
    values: list[float],
) -> None:
    low, high = log_limits(values)
    ticks = log_ticks(low, high)

    assert 0 < low < high < math.inf
    assert 1 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize("values", EXTREMES)
def test_log_axis_of_extreme_values_is_drawn_with_short_labels_that_differ(
    values: list[float],
) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(values, range(len(values)))

    log_axis(axes.xaxis, *log_limits(values))
    figure.draw_without_rendering()

    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= len("1e-300")


@pytest.mark.parametrize("limits", [(0.0, math.inf), (1.0, 1.0), (0.0, 0.0), (math.inf, math.inf)])
def test_log_axis_limits_that_are_none_are_moved_apart(limits: tuple[float, float]) -> None:
    axes = Figure().add_subplot()

    log_axis(axes.xaxis, *limits)

    low, high = axes.get_xlim()
    assert 0 < low < high < math.inf


@pytest.mark.parametrize(
    ("value", "label"),
    [(1e6, "1e6"), (1.54e-7, "1.54e-7"), (2.5e-299, "2.5e-299"), (0.5, "0.5"), (1e5, "100000")],
)
def test_log_axis_tick_is_labelled_by_its_digits(value: float, label: str) -> None:
    axes = Figure().add_subplot()

    log_axis(axes.xaxis, value / 2, value * 2, ticks=[value])

    assert [text.get_text() for text in axes.get_xticklabels()] == [label]
