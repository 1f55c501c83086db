"""What a trial that goes wrong costs: itself, and neither the other cells nor the next command."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
from optuna.exceptions import StorageInternalError

from sae.checkpoint import Checkpoints
from sae.errors import MemoryTooSmallError, SaeError
from sweeper import patience
from sweeper.booked_trial import NUMBER_ATTR, BookedTrial
from sweeper.cells import Cell
from sweeper.display import outcome_words
from sweeper.execution.executor import Ending, Job, JobEnd, end_of
from sweeper.failure import record_failure
from sweeper.settings import Settings

App = Callable[..., int]
STUDY = ("--multirun", "sweep.study_name=s")

TRAINER = """
import os
import signal
import numpy as np

def train(config):
    return {"l0": config.latent_dim * np.exp(-config.l1_alpha / 4), "fvu": 0.3}

def fails(config):
    raise RuntimeError("a slip")

def fails_when_narrow(config):
    return train(config) if config.latent_dim > 64 else fails(config)

def fails_after_first(config):
    return train(config) if config.directory.name == "trial_00000" else fails(config)

def fails_at_two(config):
    return fails(config) if config.l1_alpha == 2 else train(config)

def fails_late(config):
    config.report(step=100, l0=7.0)
    fails(config)

def leaves(config):
    raise SystemExit(3)

def is_constant(config):
    return {"l0": 20.0, "fvu": 0.3}

def is_interrupted(config):
    os.kill(os.getpid(), signal.SIGINT)
    return is_constant(config)

def is_interrupted_and_reports(config):
    os.kill(os.getpid(), signal.SIGINT)
    config.report(step=1, l0=20.0)

def reports_step_zero(config):
    for step in range(0, 100, 50):
        config.report(step=step, l0=3.0)
    return train(config) | {"fvu": 0.0}

def reports_late(config):
    for step in (80, 120):
        config.report(step=step, l0=1000.0)
    return train(config)
"""


@pytest.fixture
def trainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "unsteady.py"
    path.write_text(TRAINER)
    monkeypatch.delitem(sys.modules, "unsteady", raising=False)
    return path


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "multirun" / "s" / "trials.csv")


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (OSError(errno.ENOSPC, "full", "/elsewhere/file"), Ending.refused),
        (OSError(errno.EROFS, "read-only"), Ending.refused),
        (PermissionError(errno.EACCES, "no", "{study}/trial_00000/sae"), Ending.refused),
        (PermissionError(errno.EACCES, "no", "/somebody/else"), Ending.crashed),
        (FileNotFoundError(errno.ENOENT, "none", "/data/of/mine"), Ending.crashed),
        (ConnectionResetError(errno.ECONNRESET, "reset"), Ending.crashed),
        (TimeoutError(), Ending.crashed),
        (MemoryTooSmallError("too wide"), Ending.crashed),
        (SaeError("a wrong key"), Ending.refused),
    ],
    ids=lambda value: value.name if isinstance(value, Ending) else type(value).__name__,
)
def test_end_of_refuses_only_what_no_other_trial_would_do_better(
    error: Exception, ending: Ending, tmp_path: Path
) -> None:
    if isinstance(error, OSError) and error.filename:
        error.filename = error.filename.format(study=tmp_path)
    assert end_of(error, tmp_path / "trial_00000").ending is ending


@pytest.fixture
def job(quick_settings: Callable[[], Settings], tmp_path: Path) -> Job:
    trial = BookedTrial(
        number=0, cell="a", l1_alpha=2.0, seed=0, is_running=True, record=None, optuna_number=0
    )
    cell = Cell(name="a", group="a", overrides=(), settings=quick_settings())
    return Job(trial=trial, cell=cell, directory=tmp_path)


def test_record_failure_of_a_trial_with_checkpoints_removes_them(job: Job) -> None:
    checkpoints = Checkpoints(job.directory / "checkpoint", "")
    checkpoints.save(10, 1.0, {"weights": torch.zeros(2)})
    record_failure(job, JobEnd(ending=Ending.crashed, reason="ValueError: boom"))
    assert sorted(path.name for path in job.directory.iterdir()) == ["result.json"]


def test_outcome_words_of_a_failed_trial_say_once_that_it_failed(job: Job) -> None:
    record = record_failure(job, JobEnd(ending=Ending.crashed, reason="ValueError: boom"))
    assert outcome_words(record, job.cell) == "failed: ValueError: boom"


def test_sweep_whose_trainer_was_mended_goes_on(
    app: App, trainers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (*STUDY, "sweep.train=unsteady:train")
    trainers.write_text(TRAINER.replace("return {", "raise RuntimeError('a slip')\n    return {"))
    assert app(*command) == 1
    assert "RuntimeError: a slip; the same command tries again" in capsys.readouterr().out
    failed = len(trials_of(tmp_path))
    assert failed <= 4
    trainers.write_text(TRAINER)
    del sys.modules["unsteady"]
    assert app(*command) == 0
    assert set(trials_of(tmp_path)["state"][failed:]) == {"complete"}


def test_sweep_cell_that_fails_leaves_the_others_alone(
    app: App, trainers: Path, tmp_path: Path
) -> None:
    failing = "sweep.train=unsteady:fails_when_narrow"
    assert app(*STUDY, failing, "sae.latent_dim=64,96") == 1
    found = trials_of(tmp_path)
    assert set(found[found["latent_dim"] == 64]["state"]) == {"failed"}
    assert found[found["latent_dim"] == 96]["in_band"].astype(bool).any()


def test_sweep_whose_trainer_fails_after_its_first_run_shows_the_error(
    app: App, trainers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "sweep.train=unsteady:fails_after_first") == 1
    assert "a slip; the same command tries again" in capsys.readouterr().out
    assert len(trials_of(tmp_path)) <= 5


def test_sweep_grid_whose_one_point_failed_shows_the_error(
    app: App, trainers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "sweep.train=unsteady:fails_at_two", "l1_alpha=1,2,3") == 1
    assert "a slip; the same command tries again" in capsys.readouterr().out


def test_max_steps_is_not_passed_by_trials_that_failed_in_earlier_commands(
    app: App, trainers: Path, tmp_path: Path
) -> None:
    limited = *STUDY, "sweep.train=unsteady:fails_late", "sweep.max_steps=400"
    assert app(*limited) == 1
    before = len(trials_of(tmp_path))
    assert app(*limited) == 1
    found = trials_of(tmp_path)
    assert found["steps_done"].sum() <= 400
    assert len(found) == before


def test_sweep_fixed_alpha_that_failed_is_not_called_reached(
    app: App, trainers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "sweep.train=unsteady:fails", "l1_alpha=2,3") == 1
    assert "the same command tries again" in capsys.readouterr().out


def test_sweep_whose_trainer_leaves_the_process_says_so(
    app: App, trainers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "sweep.train=unsteady:leaves") == 1
    assert "the trainer called sys.exit(3)" in capsys.readouterr().out


def test_sweep_whose_l0_never_moves_ends_without_a_warning_of_numpy(
    app: App, trainers: Path, recwarn: pytest.WarningsRecorder
) -> None:
    assert app(*STUDY, "sweep.train=unsteady:is_constant") == 1
    assert not [str(warning.message) for warning in recwarn if warning.category is RuntimeWarning]


def test_report_before_the_first_step_is_passed_over(
    app: App, trainers: Path, tmp_path: Path
) -> None:
    """The fvu of zero is as good as another."""
    assert app(*STUDY, "sweep.train=unsteady:reports_step_zero", "sweep.pruner=projected") == 0
    history = pd.read_csv(tmp_path / "multirun" / "s" / "trial_00000" / "history.csv")
    assert history["step"].to_list() == [50]


def test_pruner_lets_a_run_be_that_first_reports_late(
    app: App, trainers: Path, tmp_path: Path
) -> None:
    app(*STUDY, "sweep.train=unsteady:reports_late", "sweep.n_trials=2")
    assert "failed" not in set(trials_of(tmp_path)["state"])


def test_max_steps_counts_a_trainer_that_does_not_say_its_steps(
    app: App, trainers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = "trainer.total_steps=100", "sweep.max_steps=100"
    assert app(*STUDY, "sweep.train=unsteady:train", *limits) == 1
    assert len(trials_of(tmp_path)) == 1
    assert "in sweep.max_steps=100; a larger one goes on" in capsys.readouterr().out


FVU = "sweep.train=unsteady:train", "sweep=fvu", "l1_alpha=8"


def test_max_steps_with_searched_steps_is_filled_by_those_of_the_candidates(
    app: App, trainers: Path, tmp_path: Path
) -> None:
    app(*STUDY, *FVU, "trainer.total_steps=choice(60,120)", "sweep.max_steps=250")
    assert sorted(trials_of(tmp_path)["total_steps"]) == [60, 120]


def test_max_steps_with_searched_steps_starts_no_candidate_that_may_pass_them(
    app: App, trainers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app(*STUDY, *FVU, "trainer.total_steps=choice(700,900)", "sweep.max_steps=800")
    assert not list(tmp_path.rglob("result.json"))
    assert "in sweep.max_steps=800; a larger one goes on" in capsys.readouterr().out


def test_max_steps_of_a_cell_that_has_had_its_trials_is_not_what_ended_it(
    app: App, trainers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app(*STUDY, "sweep.train=unsteady:is_constant", "sweep.n_trials=1", "sweep.max_steps=150")
    assert "sweep.max_steps" not in capsys.readouterr().out


def test_single_run_of_a_trainer_that_measures_the_least_is_shown(
    app: App, trainers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("sweep.train=unsteady:train", "l1_alpha=9") == 0
    assert "L0 6.746 (target 6), fvu 0.300: " in capsys.readouterr().out


def test_sweep_goes_on_where_a_storage_s_answer_was_lost(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0.0)
    original, lost = optuna.Trial.set_user_attr, [False]

    def committed_but_not_answered(trial: optuna.Trial, key: str, value: Any) -> None:
        original(trial, key, value)
        if key == NUMBER_ATTR and not lost[0]:
            lost[0] = True
            raise StorageInternalError("gone")

    monkeypatch.setattr(optuna.Trial, "set_user_attr", committed_but_not_answered)
    assert app(*STUDY) == 0
    found = trials_of(tmp_path)
    assert found["trial"].to_list() == list(range(len(found)))
    assert set(found["state"]) <= {"complete", "pruned"}


def test_sweep_on_a_device_of_no_known_name_makes_no_study(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "device=cpux") == 2
    line = "device must be one of auto, cpu, cuda, cuda:<index> and mps, but got 'cpux'."
    assert line in capsys.readouterr().err
    assert not (tmp_path / "multirun").exists()


def test_sweep_on_a_device_that_this_machine_lacks_makes_no_study(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "device=cuda:99", "hydra/launcher=joblib") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "device must be available on this machine, but got 'cuda:99'." in line
    assert not (tmp_path / "multirun").exists()


def test_sweep_whose_jobs_leave_this_machine_may_have_a_device_that_it_lacks(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")  # no Slurm, which is looked for later
    assert app(*STUDY, "device=cuda:99", "hydra/launcher=submitit_slurm") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "submitit_slurm without sbatch" in line


def test_own_trainer_may_have_devices_of_its_own(app: App, trainers: Path) -> None:
    assert app(*STUDY, "sweep.train=unsteady:train", "device=xpu") == 0


def test_own_trainer_may_have_no_use_for_the_batch_size(app: App, trainers: Path) -> None:
    assert app(*STUDY, "sweep.train=unsteady:train", "trainer.batch_size=100000") == 0


@pytest.mark.parametrize(
    ("trainer", "line"),
    [
        ("is_interrupted", "interrupted."),
        (
            "is_interrupted_and_reports",
            "interrupted. trial_00000 stopped; the same command starts again there.",
        ),
    ],
)
def test_own_trainer_interrupted_ends_the_sweep_and_promises_no_checkpoint(
    app: App, trainers: Path, capsys: pytest.CaptureFixture[str], trainer: str, line: str
) -> None:
    assert app(*STUDY, f"sweep.train=unsteady:{trainer}") == 130
    assert capsys.readouterr().err == f"sae-sweep: {line}\n"
    assert [path.name for path in trainers.parent.glob("multirun/s/trial_*")] == ["trial_00000"]
