import warnings
from dataclasses import fields
from pathlib import Path

import optuna

from sae.history import HistoryRow
from sweeper.record import Ticket
from sweeper.reporting import reporter_for
from sweeper.storage import open_storage


def row(step: int) -> HistoryRow:
    values = {field.name: 1.0 for field in fields(HistoryRow)}
    return HistoryRow(**(values | {"step": step}))  # pyright: ignore[reportArgumentType]


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
