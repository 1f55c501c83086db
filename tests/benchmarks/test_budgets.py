import pandas as pd
import pytest

from benchmarks.budgets import Task, outcome_of

TASK = Task(layer=3, width=1024, target="32", is_short=True)


def trials(in_band: list[bool | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [0, 1, 2, 3],
            "total_steps": [600, 1200, 4800, 4800],
            "steps_done": [600, 1200, 4800, 4800],
            "l0": [30.0, 35.0, 40.0, 32.0],
            "in_band": pd.array(in_band, dtype="boolean"),
        }
    )


def test_outcome_of_counts_all_steps_to_the_first_full_run_in_band() -> None:
    outcome = outcome_of(TASK, trials([True, True, False, True]), 4800)
    assert outcome.landed
    assert outcome.compute == pytest.approx((600 + 1200 + 9600) / 4800)
    assert outcome.first == pytest.approx(40 / 32)
    assert outcome.is_near
    assert outcome.path == "30.0 (0.125), 35.0 (0.25), 40.0, 32.0"


def test_outcome_of_a_short_run_in_band_is_no_landing() -> None:
    assert not outcome_of(TASK, trials([True, True, False, None]), 4800).landed


def test_outcome_of_a_pruned_run_takes_its_projection() -> None:
    table = trials([True, True, None, True])
    table["l0"] = [30.0, 35.0, None, 32.0]
    table["projected_l0"] = [None, None, 36.0, None]
    table["steps_done"] = [600, 1200, 2600, 4800]
    outcome = outcome_of(TASK, table, 4800)
    assert outcome.first == pytest.approx(36 / 32)
    assert outcome.compute == pytest.approx((600 + 1200 + 2600 + 4800) / 4800)
    assert outcome.path == "30.0 (0.125), 35.0 (0.25), ~36.0, 32.0"
