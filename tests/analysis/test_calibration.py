import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.calibration import calibrate
from analysis.errors import AnalysisError

MakeTrials = Callable[..., pd.DataFrame]


def predicted_trials(make_trials: MakeTrials, sd: float, claimed: float) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [(512, 1.0 + k, 64 * math.exp(rng.normal(scale=sd))) for k in range(400)]
    return make_trials(rows, predicted_l0=64.0, predicted_l0_sd=claimed)


def test_calibrate_right_sds_cover_as_they_claim(make_trials: MakeTrials):
    found = calibrate(predicted_trials(make_trials, 0.1, 0.1))
    assert found.inside_80 == pytest.approx(0.8, abs=0.06)
    assert found.inside_95 == pytest.approx(0.95, abs=0.03)
    assert found.rms_score == pytest.approx(1, rel=0.1)
    assert found.rms_log_error == pytest.approx(0.1, rel=0.1)
    assert abs(found.mean_score) < 0.15


def test_calibrate_overconfident_sds_are_exposed(make_trials: MakeTrials):
    found = calibrate(predicted_trials(make_trials, 0.1, 0.02))
    assert found.inside_80 < 0.35
    assert found.rms_score > 4


def test_calibrate_runs_without_prediction_are_counted(make_trials: MakeTrials):
    trials = predicted_trials(make_trials, 0.1, 0.1)
    trials.loc[:9, "predicted_l0"] = float("nan")
    trials.loc[10, "state"] = "failed"
    found = calibrate(trials)
    assert (len(found.predictions), found.unpredicted) == (389, 10)


def test_calibrate_order_is_that_of_the_trials(make_trials: MakeTrials):
    trials = predicted_trials(make_trials, 0.1, 0.1).sort_values("l0")
    rows = [each.row for each in calibrate(trials).predictions]
    assert rows == sorted(rows)


def test_calibrate_json_has_each_error(make_trials: MakeTrials):
    content = calibrate(make_trials([(512, 1.0, 128.0)], predicted_l0=64.0, predicted_l0_sd=0.5))
    predictions = content.to_json()["predictions"]
    assert isinstance(predictions, list)
    assert predictions[0]["log_error"] == pytest.approx(math.log(2))
    assert predictions[0]["score"] == pytest.approx(2 * math.log(2))


def test_calibrate_nothing_predicted_is_refused(minilm: pd.DataFrame):
    with pytest.raises(AnalysisError, match="predicted_l0 must be known for at least one"):
        calibrate(minilm)
