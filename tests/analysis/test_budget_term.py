import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.budget_term import BudgetTerm, budget_of, term_of
from analysis.errors import AnalysisError
from analysis.law import Law
from analysis.refitting import refit
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]

TERM = BudgetTerm(
    exponent=-0.5, se=0.1, reference_budget=2.0, unit="total_steps", low=1.0, high=4.0, n=3
)
ROWS = [(1024, alpha, 64 * (alpha / 2) ** -1.2) for alpha in (1.0, 2.0, 4.0)]


@pytest.fixture(name="budgets", scope="module")
def fixture_budgets(data: Path) -> pd.DataFrame:
    return load_trials(data / "l0_budget_minilm_layer3.csv")


def test_shift_inside_the_budgets_is_the_power_with_its_error():
    mean, sd = TERM.shift(4.0)
    assert mean == pytest.approx(-0.5 * math.log(2))
    assert sd == pytest.approx(0.1 * math.log(2))


def test_shift_outside_the_budgets_widens_by_the_stated_amount():
    assert TERM.shift(8.0)[1] == pytest.approx(math.hypot(0.1 * math.log(4), 0.2 * math.log(2)))


def test_shift_to_the_reference_is_none():
    assert TERM.shift(2.0) == (0.0, 0.0)


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan, math.inf])
def test_shift_to_an_impossible_budget_is_refused(budget: float):
    with pytest.raises(AnalysisError, match="budget must be positive and finite"):
        TERM.shift(budget)


@pytest.mark.parametrize(
    ("unit", "rate", "steps"),
    [
        ("total_steps", None, 0),
        ("learning_rate * total_steps", 1e-3, 0),
        ("learning_rate * total_steps", 0.0, 600),
        ("learning_rate * total_steps", -1e-3, -5),
    ],
)
def test_budget_of_a_training_that_is_not_positive_is_none(
    unit: str, rate: float | None, steps: int
):
    assert budget_of(unit, rate, steps) is None


def test_term_of_a_study_with_budgets_is_measured(budgets: pd.DataFrame):
    term = term_of(refit(budgets, target_l0=32))
    assert term is not None
    assert (term.n, term.low, term.high, term.unit) == (5, 300, 4800, "total_steps")
    assert term.exponent == pytest.approx(-0.49, abs=0.05)


def test_term_of_one_budget_is_assumed_and_says_so(make_trials: MakeTrials):
    term = term_of(refit(make_trials(ROWS), target_l0=64))
    assert term is not None
    assert (term.n, term.exponent, term.se) == (1, -0.45, 0.2)
    assert term.reference_budget == pytest.approx(0.6)


def test_term_of_another_penalty_is_not_assumed(make_trials: MakeTrials):
    assert term_of(refit(make_trials(ROWS, penalty="tanh"), target_l0=64)) is None


def test_law_predicts_the_alpha_of_a_four_times_longer_run(budgets: pd.DataFrame, tmp_path: Path):
    short = budgets[(budgets["total_steps"] <= 1200) & (budgets["latent_dim"] == 1024)]
    Law.from_refit(refit(short, target_l0=29.9)).save(tmp_path / "law.json")
    law = Law.load(tmp_path / "law.json", units=None)
    mean, sd = law.alpha_for(1024, 29.9, budget=4800)
    assert math.exp(mean) == pytest.approx(1.5, rel=0.15)  # measured
    assert abs(mean - math.log(1.5)) < 1.96 * sd


def test_law_file_of_before_the_term_has_none(make_trials: MakeTrials, tmp_path: Path):
    document = Law.from_refit(refit(make_trials(ROWS), target_l0=64)).to_json()
    del document["budget"]
    (tmp_path / "law.json").write_text(json.dumps(document))
    law = Law.load(tmp_path / "law.json")
    assert law.budget is None
    with pytest.raises(AnalysisError, match="budget must be left out for this law"):
        law.alpha_for(1024, 64, budget=1.0)


NO_BUDGET = "budget must be null or hold exponent"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exponent": "steep"}, NO_BUDGET),
        ({"unit": "epochs"}, NO_BUDGET),
        ({"more": 1}, NO_BUDGET),
        ({"n": True}, NO_BUDGET),
        ({"low": 0}, "budget.low must lie between 1e-12 and 1e\\+12 in .*, but got 0"),
        ({"low": 9}, "budget.low must lie between 0 and 0.6 in .*, but got 9"),
        ({"se": -1}, "budget.se must lie between 0 and"),
    ],
)
def test_law_file_with_a_bad_budget_is_refused(
    make_trials: MakeTrials, tmp_path: Path, change: dict[str, object], message: str
):
    document = Law.from_refit(refit(make_trials(ROWS), target_l0=64)).to_json()
    document["budget"] |= change
    (tmp_path / "law.json").write_text(json.dumps(document))
    with pytest.raises(AnalysisError, match=message):
        Law.load(tmp_path / "law.json")
