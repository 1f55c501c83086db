import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.selection import dividers, select
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]

BEYOND = "alpha is beyond 1e-30 to 1e+30, where no curve can be computed"


def with_second_row(make_trials: MakeTrials, **values: Any) -> pd.DataFrame:
    trials = make_trials([(512, 1.0, 100.0), (512, 2.0, 50.0)])
    for column, value in values.items():
        trials.loc[1, column] = value
    return trials


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("state", "pruned", "the trial is not complete: pruned"),
        ("state", pd.NA, "the trial is not complete: unknown"),
        ("latent_dim", pd.NA, "latent_dim is not positive"),
        ("latent_dim", 0, "latent_dim is not positive"),
        ("alpha_canonical", math.nan, "alpha is missing"),
        ("alpha_canonical", math.inf, "alpha is not finite"),
        ("alpha_canonical", -1.0, "alpha is negative"),
        ("alpha_canonical", 1e-31, BEYOND),
        ("alpha_canonical", 1e300, BEYOND),
        ("l0", math.nan, "l0 is missing"),
        ("l0", math.inf, "l0 is not finite"),
        ("l0", 0.0, "l0 is not positive, so it has no logarithm"),
        ("l0", 600.0, "l0 is above latent_dim"),
        ("l0_fraction", 20.0, "l0_fraction is above 1 (is it in percent?)"),
        ("l0_fraction", 0.5, "l0 and l0_fraction disagree by more than a tenth"),
    ],
)
def test_select_unusable_row_is_excluded_with_its_reason(
    make_trials: MakeTrials, column: str, value: Any, reason: str
):
    selection = select(with_second_row(make_trials, **{column: value}))
    assert [(each.row, each.reason) for each in selection.exclusions] == [(1, reason)]
    assert selection.usable.index.tolist() == [0]


@pytest.mark.parametrize("column", ["layer", "trainer.warmup", "corpus"])
@pytest.mark.parametrize("value", [[3, 5], {"from": 3}], ids=["list", "struct"])
def test_select_list_in_a_column_that_divides_is_refused(
    make_trials: MakeTrials, column: str, value: object
):
    trials = make_trials([(512, 2.0, 40.0), (512, 4.0, 20.0)])
    trials[column] = pd.Series([3, value])
    message = f"{column} must be one value in every row, .* but row 1 has {re.escape(str(value))}"
    with pytest.raises(AnalysisError, match=message):
        select(trials, by=["corpus"] if column == "corpus" else [])


def test_select_list_in_a_column_that_does_not_divide_is_passed_over(make_trials: MakeTrials):
    trials = make_trials([(512, 2.0, 40.0)])
    trials["tags"] = pd.Series([["a", "b"]])
    assert len(select(trials).usable) == 1


def test_select_fraction_rounded_to_three_digits_stays(make_trials: MakeTrials):
    assert len(select(with_second_row(make_trials, l0=0.7, l0_fraction=0.001)).usable) == 2


def test_select_guides_untrained_job_is_excluded_by_rule(data: Path):
    exclusions = select(load_trials(data / "guide_jobs.csv")).exclusions
    assert [each.row for each in exclusions] == [1]
    assert "never left its initialisation" in exclusions[0].reason


def test_select_half_dense_but_reconstructing_run_stays(make_trials: MakeTrials):
    trials = with_second_row(make_trials, l0=256.0, dead_fraction=0.0, fvu=0.1)
    assert len(select(trials).usable) == 2


def test_select_duplicate_counts_once(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 100.0), (512, 2.0, 50.0), (512, 1.0, 100.0)])
    assert [each.reason for each in select(trials).exclusions] == ["duplicate of row 0"]


@pytest.mark.parametrize("column", ["loss", "dead_fraction", "eval.ce"])
def test_select_row_with_another_measured_number_is_no_duplicate(
    make_trials: MakeTrials, column: str
):
    trials = make_trials([(512, 1.0, 100.0), (512, 1.0, 100.0)], seed=None)
    trials[column] = [0.25, 0.5]
    assert not select(trials).exclusions


def test_select_duplicate_without_a_seed_says_how_replicates_are_kept(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 100.0), (512, 1.0, 100.0)], seed=None)
    assert [each.reason for each in select(trials).exclusions] == [
        "duplicate of row 0 in all that was measured; a column seed would tell replicates apart"
    ]


def test_select_same_run_that_took_another_time_is_a_duplicate(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 100.0), (512, 1.0, 100.0)])
    trials["wall_s"] = [1.0, 2.0]
    assert len(select(trials).exclusions) == 1


def test_select_other_seed_is_a_replicate_not_a_duplicate(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 100.0), (512, 1.0, 100.0)])
    trials.loc[1, "seed"] = 1
    assert not select(trials).exclusions


def test_select_controlled_run_alone_is_excluded(make_trials: MakeTrials):
    trials = with_second_row(make_trials, alpha_mode="controlled")
    assert "alpha was controlled" in select(trials).exclusions[0].reason


def test_select_controlled_run_that_a_fixed_run_confirms_stays(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 100.0), (512, 1.02, 98.0)])
    trials.loc[1, "alpha_mode"] = "controlled"
    assert len(select(trials).usable) == 2


def test_select_controlled_run_is_not_confirmed_by_another_recipe(make_trials: MakeTrials):
    trials = make_trials([(512, 1.0, 100.0), (512, 1.02, 98.0)])
    trials.loc[1, "alpha_mode"] = "controlled"
    trials.loc[1, "total_steps"] = 1200
    assert select(trials).usable.index.tolist() == [0]


def test_select_zero_alpha_stays(make_trials: MakeTrials):
    assert len(select(with_second_row(make_trials, alpha_canonical=0.0)).usable) == 2


def test_select_order_of_rows_does_not_matter(minilm: pd.DataFrame):
    shuffled = minilm.sample(frac=1, random_state=0)
    columns = ["latent_dim", "alpha_canonical", "l0"]
    one = select(minilm).usable[columns].reset_index(drop=True)
    other = select(shuffled).usable[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, other)


def test_dividers_one_text_in_place_of_a_list_is_refused(minilm: pd.DataFrame):
    with pytest.raises(AnalysisError, match="by must be a list of texts, but got 'seed'"):
        dividers(minilm, "seed")


@pytest.mark.parametrize("told", ["none", "sae.k"])
def test_dividers_a_key_that_the_rows_say_is_no_setting_is_left_out(
    make_trials: MakeTrials, told: str
):
    columns: dict[str, object] = {"setting_columns": told, "sae.k": 3, "trainer.final_loss": 0.5}
    found = dividers(make_trials([(64, 1.0, 8.0)], **columns))
    assert [name for name in found if "." in name] == ([told] if told != "none" else [])


def test_dividers_rows_that_do_not_say_go_by_the_name(make_trials: MakeTrials):
    told = make_trials([(64, 1.0, 8.0)], setting_columns="none")
    silent = make_trials([(64, 2.0, 4.0)], **{"trainer.alpha_warmup": 0.1})
    assert "trainer.alpha_warmup" in dividers(pd.concat([told, silent], ignore_index=True))
