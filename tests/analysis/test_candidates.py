from collections.abc import Callable

import pandas as pd

from analysis.candidates import best_candidate
from analysis.groups import split

MakeTrials = Callable[..., pd.DataFrame]


def one_a_rate(make_trials: MakeTrials, *l0: float) -> pd.DataFrame:
    trials = make_trials([(1024, 2.0, each) for each in l0])
    trials["learning_rate"] = [1e-3 * (number + 1) for number in range(len(l0))]
    trials["fvu"] = [0.3 - 0.05 * number for number in range(len(l0))]
    return trials


def test_best_candidate_is_the_lowest_fvu_in_band(make_trials: MakeTrials):
    found = best_candidate(split(one_a_rate(make_trials, 64.0, 65.0, 120.0)), 64)
    assert found == (
        "The best of 3 groups of one run is row 1 (learning_rate=0.002): width 1024, alpha 2.00, "
        "L0 65.0, fvu 0.250."
    )


def test_best_candidate_none_in_band_is_the_nearest(make_trials: MakeTrials):
    found = best_candidate(split(one_a_rate(make_trials, 30.0, 80.0, 120.0)), 64)
    assert "is row 1 " in str(found)


def test_best_candidate_of_groups_with_curves_is_none(make_trials: MakeTrials):
    trials = make_trials([(1024, 1.0, 100.0), (1024, 2.0, 50.0)])
    assert best_candidate(split(trials), 64) is None


def test_best_candidate_width_that_cannot_have_the_target_is_none(make_trials: MakeTrials):
    assert best_candidate(split(one_a_rate(make_trials, 30.0, 80.0)), 2000) is None
