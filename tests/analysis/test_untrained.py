from collections.abc import Callable

import pandas as pd
import pytest

from analysis.refitting import refit
from analysis.selection import select

MakeTrials = Callable[..., pd.DataFrame]

DENSE = [(512, 1.0, 256.0), (512, 2.0, 100.0), (512, 4.0, 40.0)]


def dense(make_trials: MakeTrials, **first: float) -> pd.DataFrame:
    trials = make_trials(DENSE, dead_fraction=0.01)
    for name, value in first.items():
        trials.loc[0, name] = value
    return trials


@pytest.mark.parametrize(("fvu", "excluded"), [(0.1, []), (0.95, [0]), (None, [])])
def test_select_dense_run_is_left_out_where_fvu_says_so(
    make_trials: MakeTrials, fvu: float | None, excluded: list[int]
):
    trials = dense(make_trials, **({} if fvu is None else {"fvu": fvu}))
    assert [each.row for each in select(trials).exclusions] == excluded


def test_select_dense_run_of_a_far_larger_loss_than_at_a_larger_alpha_is_left_out(
    make_trials: MakeTrials,
):
    trials = dense(make_trials)
    trials["loss"] = [84.0, 3.0, 4.0]
    assert [each.row for each in select(trials).exclusions] == [0]


def test_select_dense_run_above_a_sparse_one_at_a_smaller_alpha_is_left_out(
    make_trials: MakeTrials,
):
    trials = dense(make_trials, alpha_canonical=8.0, l1_alpha=8.0)
    assert [each.row for each in select(trials).exclusions] == [0]


def test_select_dense_run_is_not_held_against_runs_of_another_recipe(make_trials: MakeTrials):
    trials = dense(make_trials, alpha_canonical=8.0, l1_alpha=8.0, total_steps=300)
    trials["loss"] = [84.0, 3.0, 4.0]
    assert not select(trials).exclusions


def test_refit_dense_run_that_nothing_judges_counts_and_is_named(make_trials: MakeTrials):
    notes = refit(dense(make_trials), target_l0=64).notes
    assert any(note.startswith("row 0: half of the latents on and few dead") for note in notes)


def test_refit_dense_run_that_reconstructs_is_not_named(make_trials: MakeTrials):
    notes = refit(dense(make_trials, fvu=0.1), target_l0=64).notes
    assert not any("half of the latents" in note for note in notes)
