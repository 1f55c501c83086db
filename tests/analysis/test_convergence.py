from collections.abc import Callable

import pandas as pd

from analysis.convergence import without_unconverged
from analysis.gate import Status
from analysis.refitting import refit

MakeTrials = Callable[..., pd.DataFrame]

CURVE = [(512, alpha, 64 * (alpha / 2) ** -1.2) for alpha in (1.0, 1.7, 2.8, 4.0)]


def trials(make_trials: MakeTrials, *unconverged: int) -> pd.DataFrame:
    found = make_trials(CURVE)
    found.loc[list(unconverged), "converged"] = False
    return found


def kept(found: pd.DataFrame, target_l0: float = 64) -> list[int]:
    return without_unconverged(found, target_l0)[0].index.tolist()


def test_without_unconverged_leaves_out_a_run_that_is_not_needed(make_trials: MakeTrials):
    runs, exclusions = without_unconverged(trials(make_trials, 3), 64)
    assert runs.index.tolist() == [0, 1, 2]
    assert [each.row for each in exclusions] == [3]
    assert "L0 was still moving" in exclusions[0].reason


def test_without_unconverged_keeps_all_where_two_converged_alphas_would_be_left(
    make_trials: MakeTrials,
):
    assert kept(trials(make_trials, 0, 3)) == [0, 1, 2, 3]


def test_without_unconverged_keeps_a_run_that_alone_brackets(make_trials: MakeTrials):
    assert kept(trials(make_trials, 3), target_l0=30) == [0, 1, 2, 3]


def test_without_unconverged_keeps_runs_that_do_not_say(make_trials: MakeTrials):
    found = trials(make_trials)
    found["converged"] = pd.Series(pd.NA, index=found.index, dtype="boolean")
    assert kept(found) == [0, 1, 2, 3]


def test_without_unconverged_keeps_a_width_that_cannot_have_the_target(make_trials: MakeTrials):
    assert kept(trials(make_trials, 3), target_l0=1000) == [0, 1, 2, 3]


def test_refit_needless_unconverged_run_is_listed_and_does_not_hinder_a_law(
    make_trials: MakeTrials,
):
    rows = [(width, alpha, l0) for width in (512, 1024, 2048, 4096) for _, alpha, l0 in CURVE]
    found = make_trials(rows)
    found.loc[7, "converged"] = False
    fit = refit(found, target_l0=64)
    assert [each.row for each in fit.exclusions] == [7]
    assert fit.widths[1].rows == (4, 5, 6)
    assert fit.status is Status.law
