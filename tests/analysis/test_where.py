import re
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


def test_keep_where_of_the_last_part_of_a_key_keeps_the_column_s_rows(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 90.0), (512, 2.0, 50.0)]).assign(
        **{"activations.layer": [3, 5]}
    )
    assert keep_where(trials, ["layer=5"]).index.tolist() == [1]
    with pytest.raises(AnalysisError, match=r"layer=7 keeps none \(activations\.layer is 3, 5\)"):
        keep_where(trials, ["layer=7"])


def test_keep_where_of_a_column_s_own_name_takes_no_key_for_it(trials: pd.DataFrame):
    kept = keep_where(trials.assign(**{"activations.layer": [1, 1, 1]}), ["layer=5"])
    assert kept.index.tolist() == [2]


def test_keep_where_of_the_last_part_of_two_keys_names_both(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 90.0)], **{"activations.layer": 3, "eval.layer": 3})
    message = "got 'layer'; 'activations.layer' and 'eval.layer' end so."
    with pytest.raises(AnalysisError, match=re.escape(message)):
        keep_where(trials, ["layer=3"])


def test_keep_where_of_a_misspelt_last_part_names_the_nearest_key(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 90.0)], **{"activations.layer": 3})
    with pytest.raises(AnalysisError, match=r"'layr'; the nearest is 'activations\.layer'\.$"):
        keep_where(trials, ["layr=3"])


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


def test_keep_where_one_text_in_place_of_a_list_is_refused(minilm: pd.DataFrame):
    with pytest.raises(AnalysisError, match="where must be a list of texts, but got 'seed=0'"):
        keep_where(minilm, "seed=0")
