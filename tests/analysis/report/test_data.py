import math
from collections.abc import Callable

import pandas as pd
import pytest

from analysis.refitting import refit
from analysis.report.data import point_titles, prepare

MakeTrials = Callable[..., pd.DataFrame]

ROWS = [(1024, 1.0, 180.0), (1024, 2.0, 64 * 1.05), (1024, 3.0, 64 * 1.051), (32, 2.0, 5.0)]


@pytest.fixture(name="trials")
def fixture_trials(make_trials: MakeTrials) -> pd.DataFrame:
    return make_trials(ROWS)


def test_prepare_judges_each_trial_by_the_target_of_its_width(trials: pd.DataFrame) -> None:
    data = prepare(trials, refit(trials, target_l0=64))

    assert data.trials["landed"].tolist() == [False, True, False, False]
    assert data.trials["log_error"].iloc[0] == pytest.approx(math.log(180 / 64))
    assert math.isnan(data.trials["log_error"].iloc[3])  # width 32 cannot have 64


def test_prepare_wider_tolerance_lands_more(trials: pd.DataFrame) -> None:
    data = prepare(trials, refit(trials, target_l0=64), tolerance=0.1)

    assert data.trials["landed"].sum() == 2


def test_prepare_unfinished_trial_never_lands(trials: pd.DataFrame) -> None:
    trials.loc[1, "state"] = "pruned"

    data = prepare(trials, refit(trials, target_l0=64))

    assert not data.trials["landed"].any()
    assert data.trials["why_not"].tolist() == ["", "the trial is not complete: pruned", "", ""]


def test_landed_runs_come_with_the_lowest_fvu_first(make_trials: MakeTrials) -> None:
    trials = make_trials([(1024, 1.0, 90.0), (1024, 2.0, 64.0), (1024, 2.1, 63.0)])
    trials["fvu"] = [0.1, 0.3, 0.2]
    data = prepare(trials, refit(trials, target_l0=64))
    width = data.fit.width(1024)

    assert width is not None
    assert data.landed(width)["label"].tolist() == ["trial 2", "trial 1"]


def test_point_titles_name_the_trial_and_why_it_is_not_used(trials: pd.DataFrame) -> None:
    trials.loc[1, "state"] = "diverged"
    data = prepare(trials, refit(trials, target_l0=64))

    titles = point_titles(data.trials)

    assert titles[0] == "trial 0: width 1,024, alpha 1.00, L0 180, fvu -"
    assert titles[1].endswith("not used: the trial is not complete: diverged")


def test_prepare_rows_without_numbers_are_named_by_row(minilm: pd.DataFrame) -> None:
    data = prepare(minilm, refit(minilm, target_l0=64))

    assert data.trials["label"].iloc[3] == "row 3"
