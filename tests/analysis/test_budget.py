import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from analysis.budget import StudySurface, budget_result, middle, study_surface
from analysis.errors import AnalysisError
from analysis.groups import split
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]

# Exponents between bracketed neighbours at width 1024, by log-log interpolation of the file.
MEASURED = [
    (32, 600, 1200, -0.49),
    (32, 1200, 2400, -0.51),
    (51.2, 300, 600, -0.51),
    (51.2, 600, 1200, -0.56),
]


@pytest.fixture(scope="module")
def trials(data: Path) -> pd.DataFrame:
    return load_trials(data / "l0_budget_minilm_layer3.csv")


@pytest.fixture(scope="module")
def surface(trials: pd.DataFrame) -> StudySurface:
    return study_surface(trials)


@pytest.mark.parametrize(("target", "fewer", "more", "exponent"), MEASURED)
def test_alpha_for_measured_runs_falls_with_steps_as_its_neighbours_say(
    surface: StudySurface, target: float, fewer: int, more: int, exponent: float
):
    found = surface.alpha_for(1024, target, math.sqrt(fewer * more)).budget_exponent
    assert found is not None
    assert found.contains(exponent)
    assert found.high < -0.3


def test_alpha_for_four_times_the_steps_is_predicted_from_short_runs(trials: pd.DataFrame):
    short = trials[trials["total_steps"] <= 1200]
    point = study_surface(short).alpha_for(1024, 29.9, 4800)
    alpha = point.log_alpha.exp()
    assert alpha.value == pytest.approx(1.5, rel=0.15)
    assert alpha.contains(1.5)
    assert point.outside == ("budget",)


def test_budget_without_learning_rate_is_steps_and_says_so(surface: StudySurface):
    assert surface.budget(total_steps=600) == 600
    assert "learning rate is not recorded" in surface.notes[0]


def test_budget_with_learning_rate_is_the_product(make_trials: MakeTrials):
    surface = study_surface(make_trials([(512, 1.0, 90.0), (512, 2.0, 50.0), (1024, 2.0, 60.0)]))
    assert surface.budget(total_steps=600, learning_rate=1e-3) == pytest.approx(0.6)
    with pytest.raises(AnalysisError, match="learning_rate must be positive, but got None"):
        surface.budget(total_steps=600)


def test_budget_no_steps_is_refused(surface: StudySurface):
    with pytest.raises(AnalysisError, match="total_steps must be positive, but got 0"):
        surface.budget(total_steps=0)


def test_alpha_for_no_budget_is_refused(surface: StudySurface):
    with pytest.raises(AnalysisError, match="budget must be positive"):
        surface.alpha_for(1024, 64, 0)


def test_leave_one_width_out_measured_widths_are_inside(minilm: pd.DataFrame):
    left_out = study_surface(minilm).leave_one_width_out(0.05)
    assert [each.latent_dim for each in left_out] == [512, 1024, 2048, 4096]
    assert all(each.inside for each in left_out)


def test_leave_one_width_out_two_widths_is_empty(surface: StudySurface):
    assert surface.leave_one_width_out(51.2) == []


def test_leave_one_width_out_skips_unbracketed_widths(minilm: pd.DataFrame):
    left_out = study_surface(minilm).leave_one_width_out(0.2)
    assert 4096 not in [each.latent_dim for each in left_out]


def test_budget_result_one_width_alone_has_the_other_budgets_keeps_the_exponent(
    make_trials: MakeTrials,
):
    alphas = (1.0, 2.0, 4.0)
    short = make_trials([(w, a, 70 / a) for w in (512, 1024, 2048) for a in alphas])
    longer = [
        make_trials([(1024, a, 70 / a / longer) for a in alphas], total_steps=600 * longer)
        for longer in (2, 4)
    ]
    trials = pd.concat([short, *longer], ignore_index=True)

    found = budget_result(trials, 32)

    assert found.point.budget_exponent is not None
    assert [each.latent_dim for each in found.left_out] == [512, 2048]


def test_bracketed_pairs_are_those_around_the_target(surface: StudySurface):
    assert (1024, 600.0) in surface.bracketed_pairs(32)
    assert (1024, 300.0) not in surface.bracketed_pairs(32)


def test_middle_is_the_central_pair():
    assert middle([(512, 0.3), (1024, 0.6), (2048, 1.2)]) == (1024, 0.6)


def test_study_surface_two_families_takes_the_larger_and_says_so(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 90.0), (512, 2.0, 50.0), (1024, 2.0, 60.0), (512, 3.0, 30.0)])
    trials.loc[3, "penalty"] = "tanh"
    surface = study_surface(trials)
    assert len(surface.runs) == 3
    assert "2 families of runs" in surface.notes[0]


def test_study_surface_recipe_given_takes_its_family(make_trials: MakeTrials):
    rows = [(512, alpha, 90 / alpha) for alpha in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)]
    trials = make_trials(rows)
    trials.loc[4:, "penalty"] = "tanh"
    trials.loc[6, "total_steps"] = 1200
    smaller = split(trials[4:6])[0].recipe

    surface = study_surface(trials, recipe=smaller)

    assert surface.runs.index.tolist() == [4, 5, 6]
    assert surface.notes == ("2 families of runs; this is that of the fitted runs.",)


def test_study_surface_learning_rate_for_some_is_refused(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 90.0), (512, 2.0, 50.0), (1024, 2.0, 60.0)])
    trials.loc[0, "learning_rate"] = float("nan")
    with pytest.raises(
        AnalysisError, match="learning_rate must be known for all runs or for none"
    ):
        study_surface(trials)


@pytest.mark.parametrize("column", ["total_steps", "learning_rate"])
@pytest.mark.parametrize("value", [0, -1])
def test_study_surface_run_whose_budget_is_not_positive_is_left_out(
    make_trials: MakeTrials, column: str, value: int
):
    trials = make_trials([(512, 1.0, 90.0), (512, 2.0, 50.0), (1024, 2.0, 60.0), (512, 3.0, 30.0)])
    trials.loc[3, column] = value
    assert study_surface(trials).runs.index.tolist() == [0, 1, 2]


def test_study_surface_without_steps_is_refused(data: Path):
    with pytest.raises(AnalysisError, match="total_steps must be known for a surface"):
        study_surface(load_trials(data / "guide_jobs.csv"))


def test_alpha_for_no_pair_with_three_alphas_is_refused(make_trials: MakeTrials):
    surface = study_surface(at_two_budgets(make_trials, (2.5, 4.0), (1.5, 2.5)))
    with pytest.raises(AnalysisError, match="target_l0 must be bracketed at 3 alphas or more"):
        surface.alpha_for(1024, 32, 1.2)


def test_alpha_for_budget_that_does_not_bracket_is_refused(make_trials: MakeTrials):
    surface = study_surface(at_two_budgets(make_trials, (1.5, 2.5, 4.0), (1.5,)))
    with pytest.raises(AnalysisError, match=r"latent_dim and budget must be among .*1024 at 1.2"):
        surface.alpha_for(1024, 32, 1.2)


def test_alpha_for_another_width_from_one_width_is_refused(make_trials: MakeTrials):
    trials = at_two_budgets(make_trials, (1.5, 2.5, 4.0), (0.5, 1.0, 3.0))
    surface = study_surface(pd.concat([trials, make_trials([(2048, 2.5, 100.0)])]))
    with pytest.raises(AnalysisError, match=r"latent_dim and budget must be among .*8192 at 0.6"):
        surface.alpha_for(8192, 32, 0.6)


def test_alpha_for_bracketed_budgets_of_one_width_has_one_exponent(make_trials: MakeTrials):
    trials = at_two_budgets(make_trials, (1.5, 2.5, 4.0), (0.5, 1.0, 3.0))
    point = study_surface(pd.concat([trials, make_trials([(2048, 2.5, 100.0)])])).alpha_for(
        1024, 32, 0.6
    )
    assert point.width_exponent is None
    assert point.budget_exponent is not None


def test_budget_result_two_budgets_one_bracketed_is_refused(make_trials: MakeTrials):
    trials = at_two_budgets(make_trials, (1.5, 2.5, 4.0), (1.5,))
    with pytest.raises(AnalysisError, match="budgets that bracket the target must be two or more"):
        budget_result(trials, 32)


def at_two_budgets(
    make_trials: MakeTrials, first: Sequence[float], second: Sequence[float]
) -> pd.DataFrame:
    """Runs of width 1024 at these alphas, the second ones with twice the steps of the first."""
    return pd.concat(
        [
            make_trials([(1024, alpha, 80 / alpha) for alpha in first]),
            make_trials([(1024, alpha, 55 / alpha) for alpha in second], total_steps=1200),
        ],
        ignore_index=True,
    )
