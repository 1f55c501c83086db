"""What a sweep says at its end, beside `test_answer.py`."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis import load_trials, refit
from analysis.trials import trials_from_records
from sweeper.finish import exponent_words, of_steps

App = Callable[..., int]
STUDY = ("--multirun", "sweep.study_name=s")


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "multirun" / "s" / "trials.csv")


def alphas_of(output: str) -> dict[str, str]:
    """The column alpha of the answer's table, by cell."""
    lines = output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("cell "))
    rows = [line for line in lines[start + 1 :] if re.match(r"\S+ +[\d.]+  ", line)]
    return {row.split()[0]: re.split(r"\s{2,}", row.strip())[2] for row in rows}


def test_answer_table_is_in_the_units_of_the_user(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "sweep=law", "objective=dictionary_learning") == 0
    found = trials_of(tmp_path)
    landed = found[found["in_band"].astype(bool)].iloc[0]
    assert landed["l1_alpha"] / landed["alpha_canonical"] < 0.7
    [alpha] = alphas_of(capsys.readouterr().out).values()
    assert float(alpha) == pytest.approx(landed["l1_alpha"], rel=0.1)


def test_answer_table_gives_every_cell_the_alpha_of_its_own_runs(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app(*STUDY, "sweep=law", "sae.architecture=standard,gated")
    found = trials_of(tmp_path)
    alphas = alphas_of(capsys.readouterr().out)
    for architecture in ("standard", "gated"):
        own = found[found["architecture"] == architecture]
        nearest = own["l1_alpha"].iloc[int(own["l0_log_error"].abs().argmin())]
        shown = float(alphas[f"architecture={architecture}"])
        assert shown == pytest.approx(nearest, rel=0.1)


def test_answer_table_agrees_with_the_refit_of_all_widths(
    landed: Callable[..., str], tmp_path: Path
) -> None:
    output = landed("sweep=law", "sae.latent_dim=48,64", "sweep.report=true")
    fit = refit(load_trials(tmp_path / "multirun" / "s"), target_l0=6)
    shown = alphas_of(output)
    for width in fit.widths:
        assert shown[f"latent_dim={width.latent_dim}"] == f"{width.point:.4g}"


def test_records_hold_the_keys_that_lists_gave_so_that_no_fit_mixes_them(
    app: App, tmp_path: Path
) -> None:
    app(*STUDY, "sweep=law", "trainer.gradient_clip=1.0,2.0", "sae.latent_dim=64")
    found = trials_of(tmp_path)
    assert set(found["trainer.gradient_clip"]) == {1.0, 2.0}
    assert "sae.latent_dim" not in found
    law = json.loads((tmp_path / "multirun" / "s" / "law.json").read_text())
    assert "gradient_clip" in json.dumps(law)


def test_sweep_law_of_a_target_without_one_leaves_that_of_the_other(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beyond = ("l1_alpha=1,4,8,12", "sae.latent_dim=48,64", "trainer.total_steps=60")
    assert app(*STUDY, *beyond, "target_l0=3,46") == 0
    law = tmp_path / "multirun" / "s" / "law.json"
    assert json.loads(law.read_text())["target_l0"] == 3
    capsys.readouterr()
    assert app(*STUDY, *beyond, "target_l0=46,3") == 0
    assert json.loads(law.read_text())["target_l0"] == 3
    assert "law file: of" in capsys.readouterr().out


def test_sweep_whose_interval_ends_before_the_target_says_so(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "l1_alpha=interval(0.1,0.2)") == 1
    output = capsys.readouterr().out
    assert "the end of its interval from 0.1 to 0.2; another sweep.study_name may" in output


def test_sweep_whose_time_is_over_says_so(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(*STUDY, "sweep.timeout=0.001") == 1
    assert "in sweep.timeout=0.001 s; the same command goes on" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["nowhere.json", "law.json"])
def test_sweep_with_a_law_file_that_is_amiss_makes_no_study(
    app: App, tmp_path: Path, path: str
) -> None:
    (tmp_path / "law.json").write_text("no law")
    assert app(*STUDY, "prior=file", f"prior.path={path}") == 2
    assert not (tmp_path / "multirun" / "s").exists()


def test_sweep_into_a_folder_whose_trials_its_storage_does_not_know_is_refused(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "l1_alpha=2") == 0
    result = (tmp_path / "multirun" / "s" / "trial_00000" / "result.json").read_bytes()
    assert app(*STUDY, "l1_alpha=2", "sweep.storage=sqlite:///other.db") == 2
    assert "sweep.storage must be that of study 's'" in capsys.readouterr().err
    assert (tmp_path / "multirun" / "s" / "trial_00000" / "result.json").read_bytes() == result


def test_sweep_of_other_settings_for_another_width_is_refused_unless_told(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "l1_alpha=2", "trainer.total_steps=20") == 0
    other = (
        "sae.latent_dim=96",
        "trainer.learning_rate=4e-3",
        "l1_alpha=3",
        "trainer.total_steps=20",
    )
    assert app(*STUDY, *other) == 2
    assert "trainer.learning_rate must stay 0.005 in study 's'" in capsys.readouterr().err
    assert app(*STUDY, *other, "sweep.mixed=true") == 0


def test_further_seeds_are_those_of_the_answer_s_own_recipe(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    searched = "trainer.learning_rate=choice(4e-3,5e-3,6e-3)"
    app(*STUDY, "l1_alpha=2.5", "sweep.goal=fvu", "sweep.tolerance=0.9", searched)
    assert "further seeds" not in capsys.readouterr().out


def runs_of(penalty: str, total_steps: int, n: int) -> list[dict[str, object]]:
    return [
        {
            "trial": index,
            "state": "complete",
            "penalty": penalty,
            "latent_dim": 512,
            "l1_alpha": alpha,
            "alpha_canonical": alpha,
            "l0": 64 * 100 / total_steps / alpha,
            "learning_rate": 1e-3,
            "total_steps": total_steps,
        }
        for index, alpha in enumerate((0.5, 1.0, 2.0, 0.7, 1.4, 1.2)[:n])
    ]


@pytest.mark.parametrize(
    ("among", "words"),
    [
        ([6], "exponent in width: not stated"),
        ([6, 12], "exponent in width at target 6: not stated"),
    ],
)
def test_exponent_words_of_several_targets_name_the_target(among: list[float], words: str) -> None:
    run = {
        "state": "complete",
        "latent_dim": 64,
        "l1_alpha": 3.0,
        "alpha_canonical": 3.0,
        "l0": 7.0,
    }
    fit = refit(trials_from_records([run]), target_l0=6)
    assert exponent_words(fit, among=among).startswith(words)


def test_of_steps_is_the_fit_of_the_full_runs_whose_budgets_were_measured() -> None:
    groups = [("l1", 50, 6), ("l0", 100, 5), ("l1", 100, 4)]
    table = trials_from_records([run for group in groups for run in runs_of(*group)])

    found = of_steps(refit(table, target_l0=64), 100)

    assert (found.recipe.penalty, found.recipe.total_steps) == ("l1", 100)
    assert found.budget is not None


def test_of_steps_full_runs_of_another_penalty_take_no_budgets_from_short_ones() -> None:
    groups = [("l1", 25, 6), ("l1", 50, 5), ("l0", 100, 4)]
    table = trials_from_records([run for group in groups for run in runs_of(*group)])

    found = of_steps(refit(table, target_l0=64), 100)

    assert (found.recipe.penalty, found.recipe.total_steps) == ("l0", 100)
    assert found.budget is None
