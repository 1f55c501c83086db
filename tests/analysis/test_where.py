from collections.abc import Callable

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.where import keep_where

MakeTrials = Callable[..., pd.DataFrame]


@pytest.fixture(name="trials")
def fixture_trials(make_trials: MakeTrials) -> pd.DataFrame:
    table = make_trials([(512, 1.0, 90.0), (512, 2.0, 50.0), (1024, 2.0, 60.0)])
    return table.assign(layer=[3, 3, 5], corpus=["web", "books", "web"])


@pytest.mark.parametrize(
    ("conditions", "rows"),
    [
        (["layer=5"], [2]),
        (["layer=3.0"], [0, 1]),
        (["corpus=web"], [0, 2]),
        (["corpus=web", "layer=3"], [0]),
        (["learning_rate=1e-3"], [0, 1, 2]),
        ([], [0, 1, 2]),
    ],
)
def test_keep_where_keeps_rows_with_all_values(
    trials: pd.DataFrame, conditions: list[str], rows: list[int]
):
    assert keep_where(trials, conditions).index.tolist() == rows


def test_keep_where_says_what_it_kept_and_leaves_the_table(trials: pd.DataFrame):
    kept = keep_where(trials, ["layer=3", "corpus=web"])
    assert kept.attrs["notes"] == ["only trials where layer=3, corpus=web: 1 of 3"]
    assert trials.attrs["notes"] == []
    assert kept.attrs["units"] == "canonical"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("layer", "where must be column=value, but got 'layer'"),
        (
            "layr=5",
            "where must name columns of the trials, but got 'layr'; the nearest is 'layer'",
        ),
        (
            "layer=7",
            r"where must keep at least one trial, but layer=7 keeps none \(layer is 3, 5\)",
        ),
    ],
)
def test_keep_where_bad_condition_is_one_line(trials: pd.DataFrame, condition: str, message: str):
    with pytest.raises(AnalysisError, match=message):
        keep_where(trials, [condition])
