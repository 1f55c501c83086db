import math

import pytest

from analysis import formatting as show


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.4036, "2.40"),
        (0.0012345, "0.00123"),
        (102.4, "102"),
        (1234.5, "1,234"),
        (65536, "65,536"),
        (1.5e-13, "1.50e-13"),
        (1e7, "1.00e+07"),
        (-2.0154, "-2.02"),
        (0.0, "0"),
        (math.inf, "infinite"),
        (-math.inf, "-infinite"),
        (math.nan, "-"),
        (None, "-"),
    ],
)
def test_number_keeps_three_digits(value: float | None, text: str) -> None:
    assert show.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "+5.1 %"), (-0.693147, "-50.0 %"), (None, "-"), (math.nan, "-")]
)
def test_signed_percent_turns_a_log_error_into_percent(value: float | None, text: str) -> None:
    assert show.signed_percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12240, "3.4 h"), (None, "-")]
)
def test_duration_picks_its_unit(seconds: float | None, text: str) -> None:
    assert show.duration(seconds) == text


@pytest.mark.parametrize(
    ("target", "text"), [(0.05, "5 % of the latents"), (64, "64 active latents")]
)
def test_target_below_one_is_a_share(target: float, text: str) -> None:
    assert show.target(target) == text


def test_small_formats_of_known_and_missing_values() -> None:
    assert (show.count(65536), show.count(None)) == ("65,536", "-")
    assert (show.percent(0.885), show.percent(math.nan)) == ("88.5 %", "-")
    assert (show.target_number(102.4), show.target_number(None)) == ("102.4", "-")
    assert show.interval(1.5, None) == "1.50 to -"


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (64.0, "64"), (51.23456789, "51.23456789")]
)
def test_exact_is_read_as_the_same_number(value: float, text: str):
    assert show.exact(value) == text
