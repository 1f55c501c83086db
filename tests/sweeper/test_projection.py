import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.projection import project

TOTAL, SETTLED = 1000, 200
STEPS = np.arange(100, TOTAL + 1, 10)


def curve(power: float, rise: float, end: float = 40.0) -> np.ndarray[tuple[int], np.dtype]:
    return end * np.exp(rise * ((STEPS / TOTAL) ** -power - 1))


@given(power=st.floats(1.0, 2.0), rise=st.floats(0.02, 0.3))
def test_project_half_a_curve_of_its_own_family_ends_within_its_sds(
    power: float, rise: float
) -> None:
    l0 = curve(power, rise)
    half = 41
    found = project(list(STEPS[:half]), list(l0[:half]), TOTAL, SETTLED)
    assert found is not None
    assert abs(found.ln_l0 - np.log(40)) < 2 * found.sd


def test_project_more_of_the_curve_is_surer() -> None:
    noise = np.exp(np.random.default_rng(0).normal(0, 0.01, len(STEPS)))
    l0 = curve(1.5, 0.2) * noise
    sds: list[float] = []
    for part in (41, 61, 81):
        found = project(list(STEPS[:part]), list(l0[:part]), TOTAL, SETTLED)
        assert found is not None
        sds.append(found.sd)
    assert sds == sorted(sds, reverse=True)


def test_project_too_little_after_the_warm_ups_gives_nothing() -> None:
    early = 16
    assert project(list(STEPS[:early]), list(curve(1.0, 0.2)[:early]), TOTAL, SETTLED) is None


def test_project_rows_without_active_latents_are_left_out() -> None:
    l0 = curve(1.5, 0.2)
    l0[21:26] = 0
    found = project(list(STEPS[:51]), list(l0[:51]), TOTAL, SETTLED)
    assert found is not None
    assert found.ln_l0 == pytest.approx(np.log(40), abs=0.1)
