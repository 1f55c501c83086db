import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report.axes import log_limits, log_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.4, 9.0, [0.5, 1, 2, 5]),
        (1.9, 3.4, [2, 2.5, 3]),
        (3.0, 700.0, [3, 10, 30, 100, 300]),
        (1.51, 1.58, [1.54]),
        (0.9, 1.2e4, [1, 10, 100, 1000, 10000]),
    ],
)
def test_log_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_log_ticks_over_many_decades_stay_few() -> None:
    assert len(log_ticks(1e-12, 1e12)) <= 9


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6))
def test_log_ticks_lie_within_the_limits(low: float, factor: float) -> None:
    assert all(low <= tick <= low * factor for tick in log_ticks(low, low * factor))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1))
def test_log_limits_hold_all_values_with_room(values: list[float]) -> None:
    low, high = log_limits(values)

    assert low < min(values)
    assert high > max(values)
