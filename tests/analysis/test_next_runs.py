from collections.abc import Callable

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from analysis.gate import Suggestion
from analysis.next_runs import command, overrides, to_json
from analysis.records import Units
from analysis.refitting import refit

MakeTrials = Callable[..., pd.DataFrame]

SUGGESTION = Suggestion(latent_dim=1024, l1_alpha=2.5, why="a third alpha")


@pytest.fixture(name="trials")
def fixture_trials(make_trials: MakeTrials) -> pd.DataFrame:
    return make_trials([(1024, 1.0, 128.0), (1024, 4.0, 32.0)])


def test_overrides_name_width_target_recipe_and_alpha(trials: pd.DataFrame):
    recipe = refit(trials, target_l0=64).recipe
    assert overrides(SUGGESTION, target_l0=64, recipe=recipe, units=Units.canonical) == [
        "sae.latent_dim=1024",
        "target_l0=64",
        "sae=standard",
        "trainer.learning_rate=0.001",
        "trainer.batch_size=512",
        "trainer.total_steps=600",
        "sweep.enqueue=[2.5]",
    ]


def test_overrides_name_the_settings_that_are_not_the_default(make_trials: MakeTrials):
    named = "sweep.train=own.trainer:train trainer.gradient_clip=null"
    trials = make_trials([(1024, 1.0, 128.0), (1024, 4.0, 32.0)], recipe=f"6dfb45db {named}")
    recipe = refit(trials, target_l0=64).recipe
    found = overrides(SUGGESTION, target_l0=64, recipe=recipe, units=Units.canonical) or []
    assert found[-3:] == [*named.split(), "sweep.enqueue=[2.5]"]


def test_overrides_name_the_keys_of_the_configuration_that_divide_the_runs(
    make_trials: MakeTrials,
):
    trials = make_trials(
        [(1024, 1.0, 128.0), (1024, 4.0, 32.0)],
        **{
            "activations.layer": 1,
            "activations.path": "my acts",
            "trainer.total_steps": 600,
            "objective.scale": "mean_norm",
            "eval.loss": 0.5,
            "recipe": "6dfb45db",
        },
    )
    recipe = refit(trials, target_l0=64).recipe
    longer = Suggestion(latent_dim=1024, l1_alpha=2.5, why="longer", longer=2)
    found = overrides(longer, target_l0=64, recipe=recipe, units=Units.canonical) or []
    assert found[-4:] == [
        "trainer.total_steps=1200",
        "activations.layer=1",
        "activations.path='my acts'",
        "sweep.enqueue=[2.5]",
    ]


def test_overrides_of_a_text_are_quoted_as_hydra_reads_them(make_trials: MakeTrials):
    path = "a 'b'\\c\\"
    trials = make_trials([(1024, 1.0, 128.0)], **{"activations.path": path})
    recipe = refit(trials, target_l0=64).recipe
    found = overrides(SUGGESTION, target_l0=64, recipe=recipe, units=Units.canonical) or []
    parsed = OverridesParser.create().parse_overrides(found)
    assert {each.key_or_group: each.value() for each in parsed}["activations.path"] == path


def test_overrides_of_a_million_steps_are_whole_and_of_a_rate_exact(make_trials: MakeTrials):
    trials = make_trials(
        [(1024, 1.0, 128.0), (1024, 4.0, 32.0)], total_steps=1_234_567, learning_rate=1.2345678e-3
    )
    recipe = refit(trials, target_l0=64).recipe
    longer = Suggestion(latent_dim=1024, l1_alpha=None, why="longer", longer=2)
    found = overrides(longer, target_l0=64, recipe=recipe, units=Units.canonical) or []
    assert "trainer.total_steps=2469134" in found
    assert "trainer.learning_rate=0.0012345678" in found


def test_overrides_of_longer_runs_ask_for_more_steps(trials: pd.DataFrame):
    recipe = refit(trials, target_l0=64).recipe
    longer = Suggestion(latent_dim=1024, l1_alpha=None, why="longer", longer=2)
    found = overrides(longer, target_l0=0.05, recipe=recipe, units=Units.canonical) or []
    assert "trainer.total_steps=1200" in found
    assert not any(each.startswith("sweep.enqueue") for each in found)


def test_overrides_in_a_foreign_files_units_are_none(trials: pd.DataFrame):
    recipe = refit(trials, target_l0=64).recipe
    found = to_json(SUGGESTION, target_l0=64, recipe=recipe, units=Units.as_given)
    assert (found["overrides"], found["command"], found["l1_alpha"]) == (None, None, 2.5)


def test_command_is_quoted_for_a_shell():
    assert command(["sweep.enqueue=[2.5]"]) == "sae-sweep --multirun 'sweep.enqueue=[2.5]'"


def test_refit_json_hands_its_suggestion_to_the_sweeper(trials: pd.DataFrame):
    suggestions = refit(trials, target_l0=64).to_json()["suggestions"]
    assert isinstance(suggestions, list)
    assert suggestions[0]["overrides"][-1] == "sweep.enqueue=[2]"
    assert suggestions[0]["command"].startswith("sae-sweep --multirun sae.latent_dim=1024")
