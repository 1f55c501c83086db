import os
import pickle
import warnings
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

import cloudpickle
import optuna
import pytest
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from sae.history import HistoryRow
from sweeper.record import Ticket
from sweeper.reporting import STORAGE_VARIABLE, KnowsStorage, Reporter, reporter_for
from sweeper.storage import open_storage


def row(step: int) -> HistoryRow:
    values = {field.name: 1.0 for field in fields(HistoryRow)}
    return HistoryRow(**(values | {"step": step}))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "error", [OperationalError("", None, Exception()), StorageInternalError(), IndexError()]
)
def test_reporter_whose_storage_is_away_says_so_and_lets_the_run_go_on(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def open_trial() -> NoReturn:
        raise error

    report = Reporter(open_trial, 100, lambda: None)
    for step in (10, 20, 30):
        report(row(step))
    assert capsys.readouterr().err.count("no more reports to the study's storage") == 1


def test_reporter_of_a_second_attempt_reports_only_what_is_new(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(None, tmp_path), study_name="s/cell")
    study.ask()
    ticket = Ticket(study="s/cell", optuna_number=0)
    for steps in (range(10, 60, 10), range(30, 101, 10)):  # killed at 50, with a checkpoint of 20
        report = reporter_for(ticket, tmp_path / "trial_00000", total_steps=100)
        assert report is not None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for step in steps:
                report(row(step))
        report.close()
    assert list(study.trials[0].intermediate_values) == list(range(10, 101, 10))


def test_reporter_without_url_or_journal_says_so_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
    ticket = Ticket(study="s/cell", optuna_number=0)
    report = reporter_for(ticket, tmp_path / "trial_00000", total_steps=10)
    assert report is not None
    report(row(10))
    assert f"{STORAGE_VARIABLE} must be in a job's environment" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_knows_storage_brings_the_url_along_and_shows_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
    task = KnowsStorage(lambda _: os.environ[STORAGE_VARIABLE], "pg://me:secret@host/db")
    sent = pickle.loads(cloudpickle.dumps(task))
    assert sent(OmegaConf.create()) == "pg://me:secret@host/db"
    assert STORAGE_VARIABLE not in os.environ
    assert "secret" not in repr(sent)
