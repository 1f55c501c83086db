import json
import os
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import AnalysisError
from analysis.status import read_status

HEADER = "step,learning_rate,alpha,loss,mse,l1,l0,fvu,dead_fraction_window,seconds\n"


@pytest.fixture(name="study")
def fixture_study(tmp_path: Path) -> Path:
    study = tmp_path / "demo"
    study.mkdir()
    return study


def add_result(study: Path, number: int, **record: Any) -> None:
    directory = study / f"trial_{number:05d}"
    directory.mkdir()
    (directory / "result.json").write_text(json.dumps({"state": "complete"} | record))


def add_history(study: Path, number: int, text: str) -> Path:
    directory = study / f"trial_{number:05d}"
    directory.mkdir()
    (directory / "history.csv").write_text(text)
    return directory


def add_lease(directory: Path, beat: float) -> None:
    lease = directory / "lease_00001.json"
    lease.write_text("{}")
    os.utime(lease, (beat, beat))


def test_read_status_finished_trial_comes_from_its_result(study: Path) -> None:
    add_result(study, 0, latent_dim=1024, l0=63.0, in_band=True, verdict="success")

    (trial,) = read_status(study).trials

    assert (trial.state, trial.latent_dim, trial.l0) == ("complete", 1024, 63.0)
    assert (trial.in_band, trial.verdict, trial.silent_s) == (True, "success", None)


def test_read_status_values_of_another_kind_in_a_result_are_left_out(study: Path) -> None:
    numbers = {"latent_dim": "wide", "l0": "many", "fvu": 10**400, "steps_done": 1.5}
    add_result(study, 0, in_band="yes", verdict=3, **numbers)

    (trial,) = read_status(study).trials

    assert (trial.state, trial.latent_dim, trial.l0, trial.fvu) == ("complete", None, None, None)
    assert (trial.step, trial.in_band, trial.verdict) == (None, None, None)


def test_read_status_running_trial_comes_from_its_last_whole_line(study: Path) -> None:
    lines = "100,1e-3,2.5,9,8,7,120.5,0.4,0.1,3\n200,1e-3,2.5,9,8,7,80.5,0.3,0.1,6\n300,1e-3,2"
    directory = add_history(study, 0, HEADER + lines)
    os.utime(directory / "history.csv", (1000, 1000))
    add_lease(directory, 1089)

    (trial,) = read_status(study, now=lambda: 1090.0).trials

    assert (trial.state, trial.step, trial.l0, trial.fvu) == ("running", 200, 80.5, 0.3)
    assert (trial.alpha_canonical, trial.silent_s) == (2.5, 90.0)


@pytest.mark.parametrize("beat", [None, 100.0])
def test_read_status_trial_without_a_living_job_is_interrupted(
    study: Path, beat: float | None
) -> None:
    directory = add_history(study, 0, HEADER + "100,1e-3,2.5,9,8,7,120.5,0.4,0.1,3\n")
    if beat is not None:
        add_lease(directory, beat)

    (trial,) = read_status(study, now=lambda: 1000.0).trials

    assert (trial.state, trial.step) == ("interrupted", 100)


def test_read_status_running_trial_takes_width_and_steps_from_its_configuration(
    study: Path,
) -> None:
    directory = add_history(study, 0, HEADER + "100,1e-3,2.5,9,8,7,120.5,0.4,0.1,3\n")
    (directory / ".hydra").mkdir()
    config = "sae: {latent_dim: 2048}\ntrainer: {total_steps: 600}\n"
    (directory / ".hydra" / "config.yaml").write_text(config)

    (trial,) = read_status(study).trials

    assert (trial.latent_dim, trial.total_steps) == (2048, 600)


@pytest.mark.parametrize("text", ["", HEADER, HEADER[:20], "\udcff"])
def test_read_status_without_a_line_of_history_is_starting_while_a_command_lives(
    study: Path, text: str
) -> None:
    directory, command = study / "trial_00000", study / "commands" / "a"
    directory.mkdir()
    command.mkdir(parents=True)
    (directory / "history.csv").write_bytes(text.encode(errors="surrogateescape"))
    add_lease(command, 1000)

    (trial,) = read_status(study, now=lambda: 1010.0).trials
    (left,) = read_status(study, now=lambda: 9000.0).trials

    assert left.state == "interrupted"

    assert (trial.state, trial.step) == ("starting", None)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_read_status_number_that_is_not_finite_is_passed_over(study: Path, number: str) -> None:
    add_history(study, 0, HEADER + f"{number},1e-3,2.5,9,8,7,{number},0.4,0.1,3\n")

    (trial,) = read_status(study).trials

    assert (trial.step, trial.l0, trial.fvu) == (None, None, 0.4)


@pytest.mark.parametrize("config", ["sae: [", "- 1", "sae: 3"])
def test_read_status_odd_configuration_or_result_is_passed_over(study: Path, config: str) -> None:
    row = "100,x,2.5,9,8,7,120.5,0.4\n"
    directory = add_history(study, 0, HEADER + row)
    (directory / ".hydra").mkdir()
    (directory / ".hydra" / "config.yaml").write_text(config)
    (directory / "result.json").write_text('{"state": "comp')

    (trial,) = read_status(study).trials

    assert (trial.state, trial.latent_dim, trial.l0) == ("interrupted", None, 120.5)


def test_read_status_answer_counts_states_and_landed(study: Path) -> None:
    add_result(study, 0, in_band=True)
    add_result(study, 1, state="diverged", in_band=None)
    (study / "trial_00002").mkdir()

    status = read_status(study)

    expected = "demo: 3 trials (1 complete, 1 diverged, 1 interrupted), 1 in band."
    assert status.answer() == expected


def test_read_status_not_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"study must be an existing folder, but got '.*none'"):
        read_status(tmp_path / "none")


@pytest.mark.parametrize("given", ["multirun", "."])
def test_read_status_folder_above_studies_is_refused_and_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / "multirun" / name).mkdir(parents=True)
        (tmp_path / "multirun" / name / "study.json").write_text("{}")

    with pytest.raises(AnalysisError) as caught:
        read_status(Path(given))

    assert str(caught.value) == (
        f"study must be a study's folder, but '{given}' has neither study.json nor trials; "
        "the studies in it are multirun/a, multirun/b."
    )


def test_read_status_folder_above_many_studies_names_the_first(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"s{number}").mkdir()
        (tmp_path / f"s{number}" / "study.json").write_text("{}")

    with pytest.raises(AnalysisError, match=r"s7 and 2 more\.$"):
        read_status(tmp_path)


def test_read_status_folder_without_a_study_is_refused(study: Path) -> None:
    with pytest.raises(AnalysisError, match=r"has neither study\.json nor trials\.$"):
        read_status(study)
