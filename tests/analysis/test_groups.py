from collections.abc import Callable

import pandas as pd
import pytest

from analysis.groups import split

MakeTrials = Callable[..., pd.DataFrame]

ROWS = [(512, 1.0, 100.0), (512, 2.0, 50.0), (1024, 1.0, 150.0)]


def test_split_one_recipe_is_one_group(make_trials: MakeTrials):
    groups = split(make_trials(ROWS))
    assert [len(group.runs) for group in groups] == [3]
    assert groups[0].recipe.total_steps == 600
    assert groups[0].recipe.unknown == ()


def test_split_two_penalties_are_two_groups_the_larger_first(make_trials: MakeTrials):
    trials = make_trials(ROWS)
    trials.loc[0, "penalty"] = "tanh"
    groups = split(trials)
    assert [(len(group.runs), group.recipe.penalty) for group in groups] == [
        (2, "l1"),
        (1, "tanh"),
    ]


def test_split_searched_key_divides(make_trials: MakeTrials):
    trials = make_trials(ROWS)
    trials["trainer.warmup"] = [100, 100, 200]
    assert [group.recipe.searched for group in split(trials)] == [
        (("trainer.warmup", 100),),
        (("trainer.warmup", 200),),
    ]


def test_recipe_without_budget_is_shared_by_runs_of_any_steps_and_rate(make_trials: MakeTrials):
    trials = make_trials(ROWS)
    trials["trainer.total_steps"] = trials["total_steps"] = [600, 1200, 600]
    trials["learning_rate"] = [1e-3, 1e-3, 2e-3]
    recipes = [group.recipe for group in split(trials)]
    assert len(recipes) == 3
    assert len({recipe.without_budget() for recipe in recipes}) == 1


def test_split_width_as_searched_key_does_not_divide(make_trials: MakeTrials):
    trials = make_trials(ROWS)
    trials["sae.latent_dim"] = trials["latent_dim"]
    assert len(split(trials)) == 1


def test_recipe_unknown_is_named(make_trials: MakeTrials):
    trials = make_trials(ROWS, d_in=None)
    recipe = split(trials)[0].recipe
    assert recipe.unknown == ("d_in",)
    assert recipe.to_json()["unknown"] == ["d_in"]
    assert "d_in=unknown" in recipe.describe()


def test_split_another_recipe_divides_and_its_label_names_it(make_trials: MakeTrials):
    trials = make_trials(ROWS)
    trials["recipe"] = ["a1", "a1", "b2 trainer.gradient_clip=null"]
    groups = split(trials)
    assert [len(group.runs) for group in groups] == [2, 1]
    assert groups[1].recipe.describe().endswith("recipe=b2 trainer.gradient_clip=null")


def test_split_table_without_a_recipe_does_not_call_it_unknown(make_trials: MakeTrials):
    assert split(make_trials(ROWS))[0].recipe.unknown == ()


@pytest.mark.parametrize("name", ["eval.loss", "Unnamed: 0.1", "trainer_2.x"])
def test_split_dotted_name_that_is_no_configuration_key_does_not_divide(
    make_trials: MakeTrials, name: str
):
    trials = make_trials(ROWS)
    trials[name] = [0.1, 0.2, 0.3]
    assert len(split(trials)) == 1


def test_split_dotted_name_that_is_asked_for_divides(make_trials: MakeTrials):
    trials = make_trials(ROWS)
    trials["corpus.name"] = ["a", "a", "b"]
    assert len(split(trials, ["corpus.name"])) == 2


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "TopK", "batch_topk", "Batch-TopK"])
def test_has_alpha_topk_without_a_penalty_has_none(make_trials: MakeTrials, architecture: str):
    trials = make_trials([(1024, 1.0, 64.0)], architecture=architecture, penalty=None)
    [group] = split(trials)
    assert not group.recipe.has_alpha


@pytest.mark.parametrize("architecture", ["standard", "jumprelu", None])
def test_has_alpha_other_architectures_without_a_penalty_have_one(
    make_trials: MakeTrials, architecture: str | None
):
    trials = make_trials([(1024, 1.0, 64.0)], architecture=architecture, penalty=None)
    [group] = split(trials)
    assert group.recipe.has_alpha
