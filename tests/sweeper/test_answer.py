import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sweeper.answer import training_command
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.settings import Settings

App = Callable[..., int]
STUDY = ("--multirun", "sweep.study_name=s")


def test_answer_states_the_chance_the_confirmation_and_a_command_that_works(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "sweep.confirm=2", "sae.latent_dim=48,64") == 0
    output = capsys.readouterr().out
    trials = pd.read_csv(tmp_path / "multirun" / "s" / "trials.csv")
    again = trials[trials["seed"] > 0]
    assert sorted(again["seed"]) == [1, 1, 2, 2]
    said = [line for line in output.splitlines() if "another seed lands with a chance of" in line]
    for line, width in zip(said, (48, 64), strict=True):
        landed = int(again[again["latent_dim"] == width]["in_band"].sum())
        assert line.startswith(f"latent_dim={width}: alpha ")
        assert line.endswith(f"{landed} of 2 further seeds did")

    commands = [line for line in output.splitlines() if line.startswith("  train with it: ")]
    words = shlex.split(commands[-1].partition(": ")[2])
    assert words[0] == "sae-sweep"
    assert not [word for word in words if word.startswith("sweep.")]
    capsys.readouterr()
    assert app(*words[1:]) == 0
    seed = next(int(word[5:]) for word in words if word.startswith("seed="))
    best = trials[(trials["latent_dim"] == 64) & (trials["seed"] == seed)].iloc[-1]
    assert f"L0 {best['l0']:.4g} on" in capsys.readouterr().out


def test_answer_without_confirmation_says_nothing_of_further_seeds(
    landed: Callable[..., str],
) -> None:
    output = landed()
    assert "another seed lands with a chance of" in output
    assert "further seeds" not in output


def test_answer_of_topk_has_no_alpha(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app(*STUDY, "sae=topk")
    output = capsys.readouterr().out
    assert "k sets L0" in output
    for word in ("chance", "alpha 0", "bracket", "exponent", "law"):
        assert word not in output
    assert "l1_alpha=" not in output.partition("train with it")[2]


def test_answer_of_a_run_that_steered_alpha_states_no_chance(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    steered = "trainer.controller=l0", "l1_alpha=2", "sweep.tolerance=0.9"
    assert app(*STUDY, *steered) == 0
    output = capsys.readouterr().out
    assert "alpha 2 gives L0" in output
    assert "chance" not in output


def test_answer_names_the_folder_and_the_configuration_that_the_command_was_given(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my configs"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "e.yaml").write_text("# @package _global_\nseed: 3\n")
    (folder / "mine.yaml").write_text("defaults: [config]\n")
    assert app(*STUDY, f"--config-dir={folder}", "--config-name=mine", "+experiment=e") == 0
    told = capsys.readouterr().out.partition("train with it: ")[2].splitlines()[0]
    words = shlex.split(told)
    assert words[1:3] == [f"--config-dir={folder}", "--config-name=mine"]
    assert app(*words[1:]) == 0


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [((), []), (("sweep.tolerance=0.25", "sweep.n_trials=3"), ["sweep.tolerance=0.25"])],
)
def test_training_command_keeps_the_band_that_the_answer_was_judged_by(
    settings_of: Callable[..., Settings], overrides: tuple[str, ...], kept: list[str]
) -> None:
    cell = Cell(name="c", group="c", overrides=overrides, settings=settings_of(*overrides))
    landed = BookedTrial(
        number=0,
        cell="c",
        l1_alpha=2.6,
        seed=0,
        is_running=False,
        record={"state": "complete"},
        optuna_number=0,
    )
    words = shlex.split(training_command(cell, landed))
    assert [word for word in words if word.startswith("sweep.")] == kept
