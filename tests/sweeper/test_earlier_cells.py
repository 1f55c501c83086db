"""What a command makes of the study's cells that it does not name."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

App = Callable[..., int]
STUDY = ("--multirun", "sweep.study_name=s")


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "multirun" / "s" / "trials.csv")


def test_sweep_of_a_new_width_begins_where_earlier_commands_widths_say(
    app: App, tmp_path: Path
) -> None:
    assert app(*STUDY, "sae.latent_dim=48,64") == 0
    before = len(trials_of(tmp_path))
    assert app(*STUDY, "sae.latent_dim=80") == 0
    first = trials_of(tmp_path).iloc[before]
    assert first["latent_dim"] == 80
    assert "study" in json.loads(first["prior_weights"])


def test_sweep_of_one_target_counts_the_runs_of_a_list_of_targets(
    app: App, tmp_path: Path
) -> None:
    assert app(*STUDY, "target_l0=6,15") == 0
    before = len(trials_of(tmp_path))
    assert app(*STUDY, "target_l0=15") == 0
    assert len(trials_of(tmp_path)) == before


def test_sweep_that_keeps_the_best_leaves_the_answer_of_an_earlier_target(
    app: App, tmp_path: Path
) -> None:
    # All are runs of the first target's cell.
    grid = "l1_alpha=1,2.5", "sweep.keep=best"
    app(*STUDY, "target_l0=6,15", *grid)
    kept = {path.parent.name for path in (tmp_path / "multirun" / "s").glob("*/sae")}
    app(*STUDY, "target_l0=6,4", *grid)
    assert kept == {path.parent.name for path in (tmp_path / "multirun" / "s").glob("*/sae")}
    assert kept == {"trial_00000", "trial_00001"}


def test_max_steps_counts_the_steps_of_earlier_commands_cells(app: App, tmp_path: Path) -> None:
    limit = "sweep.max_steps=150"
    assert app(*STUDY, "l1_alpha=2", limit) == 0
    assert app(*STUDY, "l1_alpha=2", "sae.latent_dim=96", limit) == 1
    assert len(trials_of(tmp_path)) == 1
