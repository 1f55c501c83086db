import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sae.activations import open_activations
from sweeper.errors import SweepError
from sweeper.prior_components import own_rule
from sweeper.search.transfer import Recipe
from sweeper.settings import Settings
from sweeper.warm_start import COMPONENT, FOREIGN_WEIGHT, WarmStart, load_warm_start

App = Callable[..., int]

ALPHA_AT_TARGET = 3.0


@pytest.fixture
def settings(quick_settings: Callable[..., Settings]) -> Settings:
    return quick_settings()


def earlier(folder: Path, settings: Settings, **changes: object) -> Path:
    """A table of runs on one curve, whose alpha for six latents is 3."""
    store = open_activations(settings.activations)
    rows = [
        {
            "architecture": "standard",
            "penalty": "l1",
            "d_in": store.d_in,
            "activations": store.name,
            "batch_size": settings.trainer.batch_size,
            "latent_dim": 64,
            "l1_alpha": alpha,
            "alpha_canonical": alpha,
            "l0": 6 * (ALPHA_AT_TARGET / alpha) ** 1.2,
            "learning_rate": settings.trainer.learning_rate,
            "total_steps": settings.trainer.total_steps,
            "held_out_tokens": 1000,
        }
        | changes
        for alpha in (2.0, 2.8, 3.2, 4.5)
    ]
    path = folder / "trials.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def recipe_of(settings: Settings) -> Recipe:
    store = open_activations(settings.activations)
    trainer = settings.trainer
    return Recipe(
        d_in=store.d_in,
        learning_rate=trainer.learning_rate,
        total_steps=trainer.total_steps,
        rule=own_rule(settings, store),
    )


def loaded(path: Path) -> WarmStart:
    found = load_warm_start(str(path))
    assert found is not None
    return found


def test_warm_start_of_the_same_recipe_expects_the_alpha_that_was_found(
    tmp_path: Path, settings: Settings
) -> None:
    store = open_activations(settings.activations)
    warm = loaded(earlier(tmp_path, settings))
    told = warm.transfer_to(settings, store, recipe_of(settings))
    assert told is not None
    assert told.component.name == COMPONENT
    assert math.exp(told.component.mean) == pytest.approx(ALPHA_AT_TARGET, rel=0.05)
    assert told.component.sd < 0.2
    assert "4 trials" in warm.describe(settings, store)
    assert "widened" not in warm.describe(settings, store)


@pytest.mark.parametrize(
    "changes",
    [{"activations": "other"}, {"batch_size": 7}, {"recipe": "0123abcd sweep.train=mine:train"}],
)
def test_warm_start_of_other_data_or_recipe_is_widened_and_says_so(
    tmp_path: Path, settings: Settings, changes: dict[str, object]
) -> None:
    store = open_activations(settings.activations)
    recipe = recipe_of(settings)
    warm = loaded(earlier(tmp_path, settings, **changes))
    told = warm.transfer_to(settings, store, recipe)
    assert told is not None
    assert told.component.sd >= recipe.rule.sd
    assert told.component.weight == FOREIGN_WEIGHT
    assert f"widened, since these differ: {next(iter(changes))}" in warm.describe(settings, store)


def test_warm_start_of_a_shorter_budget_moves_by_the_budget_term(
    tmp_path: Path, settings: Settings
) -> None:
    store = open_activations(settings.activations)
    longer = replace(
        settings, trainer=replace(settings.trainer, total_steps=4 * settings.trainer.total_steps)
    )
    told = loaded(earlier(tmp_path, settings)).transfer_to(longer, store, recipe_of(longer))
    assert told is not None
    assert math.exp(told.component.mean) < 0.75 * ALPHA_AT_TARGET


@pytest.mark.parametrize("changes", [{"architecture": "gated"}, {"d_in": 99}, {"penalty": "l0"}])
def test_warm_start_without_a_trial_of_the_kind_is_refused(
    tmp_path: Path, settings: Settings, changes: dict[str, object]
) -> None:
    warm = loaded(earlier(tmp_path, settings, **changes))
    with pytest.raises(SweepError, match=r"sweep\.warm_start must hold .* architecture=standard"):
        warm.check(settings, open_activations(settings.activations))


@pytest.mark.parametrize(("trainer", "is_akin"), [("mine:train", True), ("other:train", False)])
def test_warm_start_from_ones_own_trainer_takes_its_word_for_the_architecture(
    tmp_path: Path, settings: Settings, trainer: str, is_akin: bool
) -> None:
    told = {"architecture": "mine", "recipe": f"0123abcd sweep.train={trainer}"}
    warm = loaded(earlier(tmp_path, settings, **told))
    own = replace(settings, sweep=replace(settings.sweep, train="mine:train"))
    store = open_activations(settings.activations)
    assert (warm.transfer_to(own, store, recipe_of(own)) is not None) == is_akin


def test_warm_start_is_not_held_against_a_cell_that_searches_no_alpha(
    app: App, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = earlier(tmp_path, settings)
    limits = "sae=topk,standard", "sweep.n_trials=1", "trainer.total_steps=20"
    assert app("--multirun", *limits, f"sweep.warm_start={path}") in (0, 1)
    output = capsys.readouterr().out
    assert f"warm start from {path}: 4 trials" in output
    assert "0 trials" not in output


def test_load_warm_start_of_a_table_in_its_own_units_is_refused(
    tmp_path: Path, settings: Settings
) -> None:
    path = earlier(tmp_path, settings)
    pd.read_csv(path).drop(columns="alpha_canonical").to_csv(path, index=False)
    with pytest.raises(SweepError, match="must have a column alpha_canonical"):
        load_warm_start(str(path))


def test_load_warm_start_of_no_study_is_refused_by_key(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"^sweep\.warm_start must be a study"):
        load_warm_start(str(tmp_path / "absent"))


def test_warm_start_is_what_a_dry_run_starts_from(
    app: App, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    same = "trainer.total_steps=60"
    path = earlier(tmp_path, settings)
    assert app("--multirun", "sweep.dry_run=true", same, f"sweep.warm_start={path}") == 0
    row = re.search(r"^latent_dim=64 +6 +([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    assert row is not None
    assert float(row[1]) == pytest.approx(ALPHA_AT_TARGET, rel=0.05)
