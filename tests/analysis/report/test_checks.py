import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.refitting import refit
from analysis.report.belief import prior_belief
from analysis.report.check_tables import CheckTable, check_tables
from analysis.report.data import ReportData, prepare, thin
from analysis.report.figures import draw_checks
from analysis.report.plots.likelihood import deviance
from analysis.report.plots.pareto import pareto_front
from analysis.report.scaling import exponent_rows
from analysis.report.svg import Absent, Drawing
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]

ALPHAS = (1.0, 2.0, 3.0, 4.0)


def curve(width: int, alpha: float) -> float:
    """L0 falling as alpha^-1.5, at 64 for alpha = 2.5 (width / 1024)^0.4."""
    return 64 * (alpha / (2.5 * (width / 1024) ** 0.4)) ** -1.5


@pytest.fixture(name="trials")
def fixture_trials(make_trials: MakeTrials) -> pd.DataFrame:
    """Three widths at four alphas, predictions 10 % too high, one replicate."""
    rows = [(width, alpha, curve(width, alpha)) for width in (512, 1024, 2048) for alpha in ALPHAS]
    trials = make_trials([*rows, (1024, 2.0, curve(1024, 2.0) * math.exp(0.02))])
    trials["predicted_l0"] = 1.1 * trials["l0"]
    trials["predicted_l0_sd"] = 0.3
    trials["prior_weights"] = [f'{{"theory": {1 - 0.01 * n:.2f}}}' for n in range(len(trials))]
    trials["fvu"] = 0.3 * (64 / trials["l0"]) ** 0.5
    trials["dead_fraction"] = np.linspace(0, 0.8, len(trials))
    trials.loc[len(trials) - 1, "seed"] = 1
    return trials


@pytest.fixture(name="data_of_trials")
def fixture_data_of_trials(trials: pd.DataFrame) -> ReportData:
    return prepare(trials, refit(trials, target_l0=64))


def table_of(data: ReportData, name: str) -> pd.DataFrame:
    (found,) = [table for table in check_tables(data) if table.name == name]
    assert isinstance(found, CheckTable)
    return found.frame


def test_draw_checks_full_study_draws_all_but_the_histories(data_of_trials: ReportData) -> None:
    figures = draw_checks(data_of_trials)

    assert [figure.name for figure in figures if isinstance(figure, Absent)] == ["training"]


def test_draw_checks_one_run_draws_what_it_can_and_says_why_not(make_trials: MakeTrials) -> None:
    trials = make_trials([(1024, 2.0, 82.0)])

    figures = draw_checks(prepare(trials, refit(trials, target_l0=64)))

    reasons = {figure.name: figure.reason for figure in figures if isinstance(figure, Absent)}
    assert reasons["pareto"] == "fvu is not recorded"
    assert reasons["posterior"] == "no width allows an interval of alpha"
    assert reasons["collapse"] == "fewer than two widths bracket the target"
    assert reasons["exponents"].startswith("0 bracketed widths")
    assert "search-path" not in reasons


def test_draw_checks_histories_of_the_study_are_drawn(
    trials: pd.DataFrame, tmp_path: Path
) -> None:
    trials["dir"] = [f"trial_{number:05d}" for number in range(len(trials))]
    for name in trials["dir"].iloc[:3]:
        (tmp_path / name).mkdir()
        lines = "".join(f"{step},{100 / step}\n" for step in range(1, 400))
        (tmp_path / name / "history.csv").write_text(f"step,l0\n{lines}")
    (tmp_path / "trial_00003").mkdir()
    (tmp_path / "trial_00003" / "history.csv").write_text("step\n1\n")
    data = prepare(trials, refit(trials, target_l0=64), study=tmp_path)

    (figure,) = [figure for figure in draw_checks(data) if figure.name == "training"]

    assert isinstance(figure, Drawing)
    assert figure.caption.startswith("The 3 runs")


def test_draw_checks_calibration_counts_predictions_that_held(trials: pd.DataFrame) -> None:
    trials.loc[0, "predicted_l0"] = 10 * curve(512, 1.0)  # far outside 80 % of sd 0.3
    data = prepare(trials, refit(trials, target_l0=64))

    (figure,) = [figure for figure in draw_checks(data) if figure.name == "calibration"]

    assert isinstance(figure, Drawing)
    assert "12 of 13 hold what came (92 %, wanted 80 %)" in figure.caption
    assert "a factor of 1.10" in figure.caption


def test_check_tables_of_a_bare_table_say_why_they_are_absent(minilm: pd.DataFrame) -> None:
    made = check_tables(prepare(minilm, refit(minilm, target_l0=64)))

    assert {table.name for table in made if isinstance(table, Absent)} == {
        "along",
        "belief",
        "replicates",
        "efficiency",
    }


def test_check_tables_along_has_alpha_at_every_budget_and_the_exponent(data: Path) -> None:
    budgets = load_trials(data / "l0_budget_minilm_layer3.csv")
    rows = table_of(prepare(budgets, refit(budgets, target_l0=32)), "along")
    narrow = rows[rows["width"] == 1024]
    assert narrow["value"].tolist() == ["300", "600", "1200", "2400", "4800", "exponent"]
    assert narrow["alpha"].iloc[-1] == pytest.approx(-0.51, abs=0.02)


def test_check_tables_replicates_give_the_sd_between_seeds(data_of_trials: ReportData) -> None:
    table = table_of(data_of_trials, "replicates")

    assert table["sd of ln L0"].tolist() == pytest.approx([0.02 / math.sqrt(2)] * 2)


def test_check_tables_efficiency_counts_until_the_first_landing(trials: pd.DataFrame) -> None:
    trials.loc[6, "l0"] = 64.0  # the third run of width 1024
    table = table_of(prepare(trials, refit(trials, target_l0=64)), "efficiency")

    landed = table.set_index("width")["until in band"]
    assert landed[1024] == 3


def test_check_tables_efficiency_counts_one_groups_trials(make_trials: MakeTrials) -> None:
    rows = [(1024, 1.0, 180.0), (1024, 2.5, 64.0), (1024, 4.0, 28.0)]
    other = make_trials([(1024, 3.0, 100.0), (1024, 5.0, 64.0)], total_steps=300)
    wasted = make_trials([(1024, 9.0, 5.0)], state="pruned")
    trials = pd.concat([wasted, other, make_trials(rows)], ignore_index=True)
    trials["trial"] = range(len(trials))

    table = table_of(prepare(trials, refit(trials, target_l0=64)), "efficiency")

    assert table[["trials", "until in band"]].to_numpy().tolist() == [[4, 3]]


def test_check_tables_replicates_of_two_layers_are_no_replicates(make_trials: MakeTrials) -> None:
    trials = make_trials([(1024, 2.0, 80.0), (1024, 2.0, 60.0), (1024, 4.0, 28.0)])
    trials["seed"] = [0, 1, 0]
    trials["layer"] = [3, 6, 3]

    found = check_tables(prepare(trials, refit(trials, target_l0=64)))

    assert "replicates" in {table.name for table in found if isinstance(table, Absent)}


def test_check_tables_belief_names_prior_shift_and_weights(data_of_trials: ReportData) -> None:
    table = table_of(data_of_trials, "belief")

    (row,) = table[table["width"] == 512].to_dict(orient="records")
    assert row["weights before"] == "theory 100 %"
    assert row["weights after"] == "theory 97 %"
    assert row["bits gained"] > 1


def test_prior_belief_moves_the_prediction_from_l0_to_alpha(data_of_trials: ReportData) -> None:
    width = data_of_trials.fit.width(1024)
    assert width is not None
    assert width.elasticity is not None

    belief = prior_belief(data_of_trials, width)

    # At alpha 1 it expected 1.1 times the true L0, so it expected the target at a larger alpha.
    assert belief is not None
    slope = -width.elasticity.value
    excess = math.log(1.1 * curve(1024, 1.0) / 64)
    assert belief.mean == pytest.approx(excess / slope)
    assert belief.sd == pytest.approx(0.3 / slope)


def test_check_tables_scaling_puts_guide_and_theory_beside_the_fit(
    data_of_trials: ReportData,
) -> None:
    table = table_of(data_of_trials, "scaling").set_index("from")

    assert table.loc["all 3 widths", "exponent"] == pytest.approx(0.4, abs=0.05)
    assert "the guide: outside the interval" in table.index


def test_exponent_rows_leave_out_each_width_and_add_pairs(data_of_trials: ReportData) -> None:
    rows = exponent_rows(data_of_trials, data_of_trials.fit)

    assert [row.kind for row in rows] == ["all"] + ["left out"] * 3 + ["pair"] * 2
    assert all(row.value == pytest.approx(0.4, abs=0.05) for row in rows)
    assert rows[-1].low is None


def test_exponent_rows_refused_exponent_has_none(make_trials: MakeTrials) -> None:
    trials = make_trials([(1024, 1.0, 180.0), (1024, 2.0, 82.0), (1024, 4.0, 28.0)])

    data = prepare(trials, refit(trials, target_l0=64))

    assert exponent_rows(data, data.fit) == []


def test_deviance_is_0_at_the_exponent_and_at_the_threshold_at_its_ends(
    data_of_trials: ReportData,
) -> None:
    fit = data_of_trials.fit.exponent
    assert fit is not None
    at = np.array([fit.beta.low, fit.beta.value, fit.beta.high])

    found = deviance(fit, np.append(at, np.linspace(fit.beta.low, fit.beta.high, 201)))

    assert found[1] == pytest.approx(0, abs=0.05)
    assert np.all(found[[0, 2]] > 2.5)  # tails are heavier than a normal's, at 3.84


def test_draw_checks_every_group_with_data_has_its_figures(trials: pd.DataFrame) -> None:
    other = trials.assign(total_steps=1200, trial=trials["trial"] + 100, l0=trials["l0"] / 1.4)
    both = pd.concat([trials, other], ignore_index=True)

    names = [
        figure.name
        for figure in draw_checks(prepare(both, refit(both, target_l0=64)))
        if isinstance(figure, Drawing)
    ]

    assert {"posterior", "posterior-2", "likelihood-2", "pareto"} <= set(names)
    assert "pareto-2" not in names


def test_draw_checks_of_very_many_trials_say_that_other_groups_have_none(
    trials: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.report.figures.MOST_TRIALS", 20)
    other = trials.assign(total_steps=1200, trial=trials["trial"] + 100, l0=trials["l0"] / 1.4)
    both = pd.concat([trials, other], ignore_index=True)

    last = draw_checks(prepare(both, refit(both, target_l0=64)))[-1]

    assert isinstance(last, Absent)
    assert last.name == "other-groups"


def test_check_tables_warnings_list_rows_once(trials: pd.DataFrame) -> None:
    trials.loc[0, "state"] = "failed"
    table = table_of(prepare(trials, refit(trials, target_l0=64)), "warnings")

    assert table.iloc[0].tolist() == ["trial 0", "not used: the trial is not complete: failed"]
    assert not table.duplicated().any()


def test_check_tables_forms_hide_alpha_where_the_gate_forbids_it(make_trials: MakeTrials) -> None:
    trials = make_trials([(1024, 1.0, 180.0), (1024, 1.5, 120.0), (1024, 2.0, 82.0)])
    table = table_of(prepare(trials, refit(trials, target_l0=64)), "forms")

    assert len(table) > 1
    assert table["alpha"].isna().all()


def test_pareto_front_keeps_what_no_run_beats() -> None:
    rows = pd.DataFrame({"l0": [10.0, 20, 30, 40], "fvu": [0.5, 0.6, 0.3, 0.3]})

    assert pareto_front(rows)["l0"].tolist() == [10, 30]


def test_thin_keeps_ends_and_number() -> None:
    rows = pd.DataFrame({"x": range(1000)})

    thinned = thin(rows, 10)

    assert (len(thinned), thinned["x"].iloc[0], thinned["x"].iloc[-1]) == (10, 0, 999)
    assert thin(rows, 1000) is rows
