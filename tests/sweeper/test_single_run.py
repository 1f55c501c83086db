import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.__main__ import main as command

App = Callable[..., int]
Start = Callable[..., subprocess.Popen[str]]
WaitFor = Callable[..., None]
SHORT = ("trainer.total_steps=30", "l1_alpha=2", "hydra.run.dir=run")
LONG = ("trainer.total_steps=1500", "l1_alpha=2", "hydra.run.dir=run")


def test_single_run_interrupted_says_how_to_go_on_and_goes_on(
    start_command: Start,
    wait_for: WaitFor,
    app: App,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = start_command(*LONG)
    wait_for((tmp_path / "run" / "history.csv").exists, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted. It has a checkpoint; the same command with hydra.run.dir=" in error
    assert app(*LONG) == 0
    assert "goes on from the checkpoint in " in capsys.readouterr().out


def test_single_run_names_its_activations_first(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*SHORT) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "activations: synthetic 16d, 32 features, d_in 16"


def test_single_run_repeated_shows_the_result_and_trains_no_more(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*SHORT) == 0
    shown = capsys.readouterr().out.splitlines()[-2:]
    before = (tmp_path / "run" / "history.csv").stat().st_mtime_ns
    assert app(*SHORT) == 0
    again = capsys.readouterr().out
    assert "trained before, by the same command:" in again
    assert again.splitlines()[-2:] == shown
    assert (tmp_path / "run" / "history.csv").stat().st_mtime_ns == before


def test_single_run_in_the_folder_of_another_finished_run_is_refused(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*SHORT) == 0
    result = (tmp_path / "run" / "result.json").read_bytes()
    assert app(*SHORT, "seed=1") == 2
    assert "hydra.run.dir must be a new folder or that of the same run" in capsys.readouterr().err
    assert (tmp_path / "run" / "result.json").read_bytes() == result


def test_single_run_whose_output_nobody_reads_says_so(start_command: Start) -> None:
    process = start_command(*LONG, "trainer.log_every=1")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()  # as `| head -1` does
    process.stdout.close()
    assert "Nobody reads the output any more; the same command with" in process.stderr.read()
    assert process.wait(timeout=60) == 130


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_command_lets_threads_spin_briefly_unless_told(
    given: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sweeper.app.main", lambda: None)
    command()
    assert os.environ.get("GOMP_SPINCOUNT") == spins
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
