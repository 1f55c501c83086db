import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.schedules import linear_decay, linear_warmup, resolve_steps

STEPS = st.integers(min_value=1, max_value=100_000)


@given(total=STEPS, value=st.floats(min_value=1, max_value=1e6))
def test_resolve_steps_any_number_of_steps_stays_within_the_cap(total: int, value: float) -> None:
    assert 0 <= resolve_steps(value, total, 0.25) <= 0.25 * total


@given(total=STEPS, value=st.floats(min_value=0, max_value=1, exclude_max=True))
def test_resolve_steps_any_fraction_stays_within_the_run(total: int, value: float) -> None:
    assert 0 <= resolve_steps(value, total, 0.25) <= total


@pytest.mark.parametrize(
    ("value", "total", "cap", "steps"),
    [
        (0.1, 600, 1.0, 60),
        (100, 600, 1.0, 100),
        (1, 600, 1.0, 1),
        (100, 300, 1 / 6, 50),
        (0.5, 300, 1 / 6, 150),
    ],
)
def test_resolve_steps_fraction_or_count_gives_steps(
    value: float, total: int, cap: float, steps: int
) -> None:
    assert resolve_steps(value, total, cap) == steps


@given(warmup=st.integers(min_value=0, max_value=1000), step=STEPS)
def test_linear_warmup_is_positive_rising_and_ends_at_one(warmup: int, step: int) -> None:
    assert 0 < linear_warmup(step - 1, warmup) <= linear_warmup(step, warmup) <= 1
    assert linear_warmup(max(warmup - 1, 0), warmup) == 1


@given(total=STEPS, decay=STEPS, step=STEPS)
def test_linear_decay_falls_from_one_to_zero(total: int, decay: int, step: int) -> None:
    assert 0 <= linear_decay(step, total, decay) <= linear_decay(step - 1, total, decay) <= 1
    assert linear_decay(total, total, decay) == 0


def test_linear_decay_of_no_steps_is_one_until_the_end() -> None:
    assert linear_decay(99, 100, 0) == 1
