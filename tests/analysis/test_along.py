from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.along import alpha_along, dividing_columns
from analysis.errors import AnalysisError
from analysis.refitting import refit
from analysis.results import Refit
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]


def at(make_trials: MakeTrials, scale: float, **columns: object) -> pd.DataFrame:
    """Width 512, alpha for L0 64 at 2 * scale."""
    rows = [(512, scale * alpha, 64 * (alpha / 2) ** -1.2) for alpha in (1.0, 2.2, 4.0)]
    return make_trials(rows, **columns)


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    found = pd.concat(tables, ignore_index=True)
    found.attrs = dict(tables[0].attrs)
    return found


@pytest.fixture(name="over_d_in")
def fixture_over_d_in(make_trials: MakeTrials) -> Refit:
    tables = (
        at(make_trials, (d_in / 384) ** 0.5, d_in=d_in, activations=f"demo {d_in}")
        for d_in in (96, 192, 384, 768)
    )
    return refit(joined(*tables), target_l0=64)


def test_along_d_in_gives_alpha_at_each_and_its_exponent(over_d_in: Refit):
    (found,) = alpha_along(over_d_in, "d_in")
    assert found.latent_dim == 512
    assert [each.value for each in found.points] == [96, 192, 384, 768]
    assert [each.alpha for each in found.points] == pytest.approx([1, 2**0.5, 2, 8**0.5], rel=0.01)
    assert found.exponent is not None
    assert found.exponent.value == pytest.approx(0.5, abs=0.01)
    assert found.exponent.low < 0.48 < 0.52 < found.exponent.high


def test_along_names_what_changes_together(over_d_in: Refit):
    assert alpha_along(over_d_in, "d_in")[0].changes_with == ("activations",)
    assert dividing_columns(over_d_in) == ("d_in", "activations")


def test_along_words_have_no_exponent(over_d_in: Refit):
    (found,) = alpha_along(over_d_in, "activations")
    assert (found.exponent, found.reason) == (None, "the values are no positive numbers")


def test_along_value_without_an_interval_is_not_in_the_exponent(make_trials: MakeTrials):
    two_alphas = at(make_trials, 1.0, d_in=96).iloc[[0, 2]]
    tables = (two_alphas, at(make_trials, 1.0, d_in=192))
    (found,) = alpha_along(refit(joined(*tables), target_l0=64), "d_in")
    assert found.points[0].alpha is not None
    assert found.exponent is None
    assert "an exponent needs two" in str(found.reason)


def test_along_rest_of_the_recipe_is_never_mixed(make_trials: MakeTrials):
    tables = (
        at(make_trials, 1.0 + 0.1 * steps / 600, d_in=d_in, total_steps=steps)
        for d_in in (96, 192)
        for steps in (600, 1200)
    )
    found = alpha_along(refit(joined(*tables), target_l0=64), "d_in")
    assert [[each.value for each in line.points] for line in found] == [[96, 192], [96, 192]]


def test_along_column_that_divides_nothing_is_refused(over_d_in: Refit):
    with pytest.raises(AnalysisError, match=r"divide the runs \(d_in, activations does\)"):
        alpha_along(over_d_in, "colour")


def test_along_budgets_agrees_with_the_measured_neighbours(data: Path):
    fit = refit(load_trials(data / "l0_budget_minilm_layer3.csv"), target_l0=32)
    found = alpha_along(fit, "total_steps")[0]
    assert found.latent_dim == 1024
    assert found.exponent is not None
    assert found.exponent.contains(-0.49)
    assert found.exponent.contains(-0.51)


@pytest.mark.parametrize("column", ["layer", "model", "trainer.warmup"])
def test_refit_column_that_describes_the_run_divides_it(make_trials: MakeTrials, column: str):
    tables = (at(make_trials, scale).assign(**{column: scale}) for scale in (1.0, 1.5))
    found = refit(joined(*tables), target_l0=64)
    assert len(found.others) == 1
    assert dividing_columns(found) == (column,)


def test_refit_other_column_divides_where_asked(make_trials: MakeTrials):
    tables = [at(make_trials, scale).assign(corpus=str(scale)) for scale in (1.0, 1.5)]
    assert not refit(joined(*tables), target_l0=64).others
    assert len(refit(joined(*tables), target_l0=64, by=["corpus"]).others) == 1


def test_refit_by_the_last_part_of_a_column_divides_by_it(make_trials: MakeTrials):
    rows = [(512, 1.0, 90.0), (512, 2.0, 50.0)]
    trials = make_trials(rows).assign(**{"eval.corpus": ["web", "books"]})
    fit = refit(trials, target_l0=64, by=["corpus"])
    assert [len(fit.others), dict(fit.recipe.searched)["eval.corpus"]] == [1, "books"]


def test_refit_by_a_misspelt_column_names_the_nearest(make_trials: MakeTrials):
    trials = at(make_trials, 1.0).assign(corpus="a")
    with pytest.raises(AnalysisError, match="but got 'corpsu'; the nearest is 'corpus'"):
        refit(trials, target_l0=64, by=["corpsu"])


def test_refit_surface_never_mixes_searched_keys(make_trials: MakeTrials):
    tables = [
        at(make_trials, scale * (steps / 600) ** -0.5, total_steps=steps).assign(layer=scale)
        for scale in (1.0, 1.5)
        for steps in (600, 1200)
    ]
    found = refit(joined(*tables), target_l0=64)
    assert found.budget is not None
    assert "2 families of runs; this is that of the fitted runs." in found.budget.notes


def test_alpha_along_a_column_whose_values_have_no_alpha_is_nothing(make_trials: MakeTrials):
    trials = make_trials([(1024, 2.0, 60.0), (1024, 2.0, 66.0)])
    trials["learning_rate"] = [1e-3, 2e-3]
    assert alpha_along(refit(trials, target_l0=64), "learning_rate") == ()
