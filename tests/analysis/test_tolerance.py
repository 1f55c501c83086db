import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.tolerance import tolerance_of

MakeTrials = Callable[..., pd.DataFrame]
URL = "postgresql://host/sweeps"


@pytest.fixture(name="trials")
def fixture_trials(make_trials: MakeTrials) -> pd.DataFrame:
    """Runs 10, 30 and 50 % above their target."""
    trials = make_trials([(1024, 3.0, 70.4), (1024, 2.0, 83.2), (1024, 1.0, 96.0)], target_l0=64)
    return trials.assign(l0_log_error=[math.log(1.1), math.log(1.3), math.log(1.5)])


def judged(trials: pd.DataFrame, in_band: list[bool]) -> pd.DataFrame:
    return trials.assign(in_band=pd.array(in_band, dtype="boolean"))


def test_tolerance_of_asked_wins(trials: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"tolerance": 0.35}')
    assert tolerance_of(tmp_path, trials, 0.2) == 0.2


@pytest.mark.parametrize("asked", [0.0, -1.0, math.nan, math.inf])
def test_tolerance_of_asked_that_is_none_is_refused(trials: pd.DataFrame, asked: float) -> None:
    with pytest.raises(AnalysisError, match=f"tolerance must be positive.* but got {asked!r}"):
        tolerance_of("runs.csv", trials, asked)


@pytest.mark.parametrize("source", ["", "study.journal", "trials.csv"])
def test_tolerance_of_a_study_is_its_definitions(
    trials: pd.DataFrame, tmp_path: Path, source: str
) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"cells": {}, "tolerance": 0.35}))
    assert tolerance_of(tmp_path / source, trials) == 0.35


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"tolerance": null}'])
def test_tolerance_of_a_definition_without_one_is_the_default(
    trials: pd.DataFrame, tmp_path: Path, text: str
) -> None:
    (tmp_path / "study.json").write_text(text)
    assert tolerance_of(tmp_path, trials) == 0.05


@pytest.mark.parametrize("in_band", [[True, True, False], [False, False, False]])
def test_tolerance_of_a_database_judges_as_its_records(
    trials: pd.DataFrame, in_band: list[bool]
) -> None:
    found = tolerance_of(URL, judged(trials, in_band))
    within = [error <= math.log1p(found) + 1e-12 for error in trials["l0_log_error"]]
    assert within == in_band


def test_tolerance_of_a_database_of_several_is_the_default(trials: pd.DataFrame) -> None:
    assert tolerance_of(URL, judged(trials, [True, False, True])) == 0.05


def test_tolerance_of_a_stricter_database_leaves_its_runs_out(trials: pd.DataFrame) -> None:
    near = trials.assign(l0_log_error=[0.02, 0.03, 0.04])
    assert 0.02 < math.log1p(tolerance_of(URL, judged(near, [True, False, False]))) < 0.03
