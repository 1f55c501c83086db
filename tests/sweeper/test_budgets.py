import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sweeper.budgets import with_budgets
from sweeper.cells import make_cells
from sweeper.errors import SweepError
from sweeper.settings import Settings
from sweeper.space import parse_space
from sweeper.sweep_config import SweepConfig

App = Callable[..., int]
Compose = Callable[..., Settings]
STUDY = ("--multirun", "sweep.study_name=s")


def cells_of(settings_of: Compose, *arguments: str):
    space = parse_space(arguments)

    def compose(overrides: object) -> Settings:
        return settings_of("activations=synthetic", *overrides)  # type: ignore[misc]

    return with_budgets(make_cells(space, compose), space, compose)


def test_with_budgets_each_cell_comes_after_its_short_ones(settings_of: Compose) -> None:
    cells = cells_of(settings_of, "sweep.budgets=[0.25,1]", "sae.latent_dim=128,256")
    assert [cell.name for cell in cells] == [
        "latent_dim=128,budget=0.25",
        "latent_dim=128",
        "latent_dim=256,budget=0.25",
        "latent_dim=256",
    ]
    assert [cell.settings.trainer.total_steps for cell in cells] == [150, 600, 150, 600]
    assert [cell.after for cell in cells] == [None, cells[0].name, None, cells[2].name]


def test_with_budgets_short_runs_only_land_and_in_a_wider_band(settings_of: Compose) -> None:
    short, full = cells_of(settings_of, "sweep.budgets=[0.25,1]", "sweep=law", "sweep.confirm=3")
    assert short.settings.sweep.goal == "land"
    assert short.settings.sweep.tolerance == 0.25
    assert short.settings.sweep.confirm == 0
    assert (full.settings.sweep.goal, full.settings.sweep.confirm) == ("law", 3)


def test_with_budgets_one_budget_changes_nothing(settings_of: Compose) -> None:
    [cell] = cells_of(settings_of, "sae.latent_dim=128")
    assert (cell.name, cell.after, cell.budget) == ("latent_dim=128", None, 1)


@pytest.mark.parametrize("given", ["l1_alpha=2", "l1_alpha=1,2", "sae=topk"])
def test_with_budgets_of_a_given_alpha_is_refused(settings_of: Compose, given: str) -> None:
    with pytest.raises(SweepError, match=r"sweep\.budgets must be \[1\] where l1_alpha is not"):
        cells_of(settings_of, "sweep.budgets=[0.5,1]", given)


@pytest.mark.parametrize(
    "budgets", [(), (0.5,), (0.5, 0.25, 1.0), (0.5, 0.5, 1.0), (0.0, 1.0), (-1.0, 1.0), (1.0, 2.0)]
)
def test_sweep_config_budgets_that_do_not_rise_to_one_are_refused(
    budgets: tuple[float, ...],
) -> None:
    with pytest.raises(SweepError) as caught:
        SweepConfig(budgets=budgets)
    assert f"sweep.budgets must be fractions above 0 that rise to 1, but got {list(budgets)}." in (
        str(caught.value)
    )


def test_sweep_budgets_lands_with_full_runs_after_short_ones(app: App, tmp_path: Path) -> None:
    arguments = ("sweep.budgets=[0.5,1]", "sweep.confirm=1", "sweep.pruner=none")
    assert app(*STUDY, *arguments, "sweep.slots=2") == 0
    trials = pd.read_csv(tmp_path / "multirun" / "s" / "trials.csv")
    steps = list(trials["total_steps"])
    assert steps == sorted(steps)
    assert set(steps) == {75, 150}
    full = trials[trials["total_steps"] == 150]
    landed = full[(full["seed"] == 0) & full["in_band"]]
    again = full[full["seed"] == 1]
    assert set(again["l1_alpha"]) <= set(landed["l1_alpha"])
    assert len(again) > 0
    [weights] = (tmp_path / "multirun" / "s").glob("trial_*/sae")
    assert int(weights.parent.name[-5:]) in set(full["trial"])


def test_sweep_budgets_near_the_full_one_tell_it_where_to_begin(app: App, tmp_path: Path) -> None:
    assert app(*STUDY, "sweep.budgets=[0.8,1]", "sweep.pruner=none") == 0
    trials = pd.read_csv(tmp_path / "multirun" / "s" / "trials.csv")
    first = trials[trials["total_steps"] == 150].iloc[0]
    assert "study" in json.loads(first["prior_weights"])


def test_with_budgets_of_runs_that_steer_alpha_is_refused(settings_of: Compose) -> None:
    with pytest.raises(SweepError, match=r"sweep\.budgets must be \[1\] with trainer\.controller"):
        cells_of(settings_of, "sweep.budgets=[0.5,1]", "trainer.controller=l0")


def steps_of(folder: Path) -> list[int]:
    return list(pd.read_csv(folder / "multirun" / "s" / "trials.csv")["total_steps"])


def test_sweep_budgets_known_alphas_come_before_short_runs(app: App, tmp_path: Path) -> None:
    assert app(*STUDY, "sweep.budgets=[0.5,1]", "sweep.enqueue=[40]", "sweep.pruner=none") == 0
    steps = steps_of(tmp_path)
    assert (steps[0], steps[1], steps[-1]) == (150, 75, 150)


def test_sweep_budgets_of_a_study_that_has_landed_run_nothing_short(
    landed: Callable[..., str], app: App, tmp_path: Path
) -> None:
    landed()
    before = steps_of(tmp_path)
    assert app(*STUDY, "sweep.budgets=[0.5,1]") == 0
    assert steps_of(tmp_path) == before
