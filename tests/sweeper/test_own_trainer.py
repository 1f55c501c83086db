import csv
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.records import validate_record
from sae.activations import open_activations
from sae.stop_signal import StopSignal
from sweeper import TrialConfig
from sweeper.errors import SweepError
from sweeper.job import run_trial
from sweeper.own_trainer import checked_result, load_trainer, train_with
from sweeper.settings import Settings

App = Callable[..., int]

TRAINER = """
import os
import numpy as np

def train(config):
    l0 = config.latent_dim * np.exp(-config.l1_alpha / 4)
    for step in (1, 2, 3):
        config.report(step=step, l0=l0 * (4 - step), fvu=0.5)
    (config.directory / "sae").mkdir(exist_ok=True)
    (config.directory / "sae" / "weights").write_text(str(config.seed))
    return {"l0": np.float32(l0), "fvu": 0.3, "probe_accuracy": 0.8, "steps_done": 3}

def notes(config):
    return {**train(config), "note": "odd" if config.seed % 2 else 3.5}

def no_l0(config):
    return {"fvu": 0.3}

def wanders(config):
    os.chdir("/")
    return train(config)

def raises(config):
    raise ValueError("no name \\udcff of UTF-8")

def diverges(config):
    if config.l1_alpha > 20:
        return {"state": "diverged", "stop_reason": "too much"}
    return train(config)

text = "no function"
"""


@pytest.fixture
def trainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory."""
    (tmp_path / "my_trainers.py").write_text(TRAINER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_trainers", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return "my_trainers"


def test_own_trainer_sweep_lands_with_its_numbers(app: App, trainers: str, tmp_path: Path) -> None:
    assert app("--multirun", "sweep.study_name=s", f"sweep.train={trainers}:train") == 0
    trials = pd.read_csv(tmp_path / "multirun" / "s" / "trials.csv")
    assert trials["in_band"].iloc[-1]
    assert trials["l0"].iloc[-1] == pytest.approx(64 * np.exp(-trials["l1_alpha"].iloc[-1] / 4))
    assert list(trials["probe_accuracy"].unique()) == [0.8]
    kept = list((tmp_path / "multirun" / "s").glob("trial_*/sae/weights"))
    assert len(kept) == 1


def test_own_trainer_that_goes_to_another_directory_leaves_the_sweep_where_it_was(
    app: App, trainers: str, tmp_path: Path
) -> None:
    assert app("--multirun", "sweep.study_name=s", f"sweep.train={trainers}:wanders") == 0
    study = tmp_path / "multirun" / "s"
    assert Path.cwd() == tmp_path
    assert len(pd.read_csv(study / "trial_00000" / "history.csv")) == 3
    assert pd.read_csv(study / "trials.csv")["in_band"].iloc[-1]


def test_own_trainer_exception_that_is_no_utf_8_costs_its_trials_only(
    app: App, trainers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("sweep.study_name=s", f"sweep.train={trainers}:raises", "l1_alpha=2")
    assert app("--multirun", *arguments) == 1
    assert "ValueError: no name \\udcff of UTF-8" in capsys.readouterr().out
    first = tmp_path / "multirun" / "s" / "trial_00000"
    assert "no name \\udcff of UTF-8" in (first / "error.txt").read_text(encoding="utf-8")


def test_own_trainer_column_of_numbers_and_texts_is_text_in_the_tables(
    app: App, trainers: str, tmp_path: Path
) -> None:
    assert (
        app("--multirun", "sweep.study_name=s", f"sweep.train={trainers}:notes", "seed=0,1") == 0
    )
    trials = pd.read_parquet(tmp_path / "multirun" / "s" / "trials.parquet")
    assert set(trials["note"]) == {"3.5", "odd"}
    assert trials["l0"].dtype == "float64"


def test_own_trainer_reports_become_history(
    quick_settings: Callable[..., Settings], trainers: str, tmp_path: Path
) -> None:
    record = run_trial(quick_settings(f"sweep.train={trainers}:train"), tmp_path)
    validate_record(record)
    with (tmp_path / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert json.loads((tmp_path / "result.json").read_text())["l0"] == record["l0"]


def test_own_trainer_diverged_run_is_told_as_such(
    quick_settings: Callable[..., Settings], trainers: str, tmp_path: Path
) -> None:
    settings = quick_settings(f"sweep.train={trainers}:diverges", "l1_alpha=30")
    record = run_trial(settings, tmp_path)
    assert record["state"] == "diverged"
    assert "too much" in record["verdict_reasons"][0]


def test_own_trainer_another_function_is_another_study(
    app: App, trainers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app("--multirun", "sweep.study_name=s", f"sweep.train={trainers}:train")
    capsys.readouterr()
    assert app("--multirun", "sweep.study_name=s", f"sweep.train={trainers}:diverges") == 2
    assert "sweep.train must stay my_trainers:train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("my_trainers.train", "sweep.train must be package.module:function, but got"),
        ("__import__('os'):x", "sweep.train must be package.module:function, but got"),
        ("no_such_module:train", "sweep.train must name a module that can be imported"),
        ("my_trainers:missing", "'missing' is nothing there"),
        ("my_trainers:text", "'text' is a str there"),
        ("my_trainers:no_l0", "must return 'l0', but got fvu"),
    ],
)
def test_own_trainer_bad_path_or_answer_is_one_line(
    app: App, trainers: str, capsys: pytest.CaptureFixture[str], path: str, line: str
) -> None:
    assert app("--multirun", "l1_alpha=3", f'sweep.train="{path}"') == 2
    [error] = capsys.readouterr().err.splitlines()
    assert line in error


def test_own_trainer_missing_function_is_one_line_in_a_single_run_too(
    app: App, trainers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("l1_alpha=3", f"sweep.train={trainers}:missing") == 2
    [error] = capsys.readouterr().err.splitlines()
    assert "'missing' is nothing there" in error


@pytest.mark.parametrize(
    ("result", "line"),
    [
        ([1.0], "must return a mapping, but got list"),
        ({"l0": 3.0}, "must return 'fvu', but got l0"),
        ({"l0": float("nan"), "fvu": 0.1}, "'l0' that is finite and from 0 to 64, but got nan"),
        ({"l0": 3, "fvu": 0.1, "dead_fraction": 2.0}, "can hold: dead_fraction must be at most 1"),
        ({"l0": 65, "fvu": 0.1}, "'l0' that is finite and from 0 to 64, but got 65"),
        ({"l0": True, "fvu": 0.1}, "'l0' that is finite and from 0 to 64, but got True"),
        ({"l0": 3, "fvu": -0.1}, "'fvu' that is finite and at least 0, but got -0.1"),
        ({"l0": 3, "fvu": 0.1, "trial": 7}, "must not return 'trial'"),
        ({"l0": 3, "fvu": 0.1, "trial ": 7}, "must not return 'trial'"),
        ({"l0": 3, "fvu": 0.1, "own": 1, " own": 2}, "every value once, but got 'own' twice"),
        ({"l0": 3, "fvu": 0.1, "state": "failed"}, "complete or diverged, but got 'failed'"),
        ({"l0": 3, "fvu": 0.1, "weights": [1, 2]}, "'weights' must be a number, a text or None"),
        ({"l0": 3, "fvu": 0.1, "flops": 10**25}, "2^63, but got 'flops' with 84"),
        ({"l0": 3, "fvu": 10**400}, "2^63, but got 'fvu' with 1329 bits"),
    ],
)
def test_checked_result_bad_answer_is_named(result: Any, line: str) -> None:
    with pytest.raises(SweepError, match=r"sweep\.train=a:b must") as caught:
        checked_result("a:b", result, 64)
    assert line in str(caught.value)


def test_load_trainer_syntax_error_is_one_line(trainers: str, tmp_path: Path) -> None:
    (tmp_path / "broken_trainer.py").write_text("def (")
    with pytest.raises(SweepError, match="SyntaxError"):
        load_trainer("broken_trainer:train")


def test_report_stop_asked_for_leaves_no_result_and_keeps_the_history(
    quick_settings: Callable[..., Settings], trainers: str, tmp_path: Path
) -> None:
    settings = quick_settings(f"sweep.train={trainers}:train")
    stop = StopSignal()
    stop.request("SIGTERM")
    store = open_activations(settings.activations)
    path = str(settings.sweep.train)
    measured = train_with(path, settings, store, tmp_path, lambda _: None, stop)
    assert measured["state"] == "interrupted"
    assert "l0" not in measured
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


def test_report_resumed_run_drops_rows_of_the_killed_attempt(
    quick_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resumes(config: TrialConfig) -> dict[str, float]:
        start = 3 if (config.directory / "history.csv").exists() else 1
        for step in range(start, start + 4):
            config.report(step=step, l0=5.0)
        return {"l0": 5.0, "fvu": 0.5}

    monkeypatch.setattr(sys.modules[__name__], "resumes", resumes, raising=False)
    settings = quick_settings(f"sweep.train={__name__}:resumes")
    run_trial(settings, tmp_path)
    run_trial(settings, tmp_path)
    with (tmp_path / "history.csv").open() as stream:
        steps = [row["step"] for row in csv.DictReader(stream)]
    assert steps == ["1", "2", "3", "4", "5", "6"]


def test_checked_result_that_lacks_a_number_names_what_the_trainer_returned() -> None:
    with pytest.raises(SweepError, match=r"must return 'fvu', but got l0\.$"):
        checked_result("a:b", {"l0": 3.0}, 64)


def test_checked_result_optional_numbers_that_are_not_finite_are_left_out() -> None:
    found = checked_result("a:b", {"l0": 3.0, "fvu": 0.1, "loss": math.nan, "mse": math.inf}, 64)
    assert found == {"l0": 3.0, "fvu": 0.1, "state": "complete", "alive": None}


def test_checked_result_text_that_is_no_utf_8_is_written_out() -> None:
    measured = checked_result("a:b", {"l0": 3.0, "fvu": 0.1, "file\udcff": "\udcff"}, 64)
    assert measured["file\\udcff"] == "\\udcff"
