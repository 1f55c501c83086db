import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, cast

import optuna
import pytest
from hydra.plugins.launcher import Launcher

from benchmarks.launchers import MOST_LOST, run, slurm_answers
from benchmarks.ray_cluster import two_node_cluster
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.execution import launcher_threads
from sweeper.execution.clusters import slurm_has
from sweeper.execution.executor import Ending, Job, JobEnd
from sweeper.settings import Settings
from sweeper.storage import open_storage

OF_THIS_MACHINE = tuple(launcher for launcher in MOST_LOST if launcher != "submitit_slurm")


@pytest.fixture(scope="module")
def slurm() -> None:
    """Asked for by the tests that need it alone: one that is installed and stopped waits long."""
    if not slurm_answers():
        pytest.skip("needs Slurm")


@pytest.mark.parametrize("launchers", [OF_THIS_MACHINE, ("submitit_slurm",)], ids=" ".join)
def test_launchers_killed_job_is_lost_and_goes_on(
    launchers: Sequence[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "submitit_slurm" in launchers:
        request.getfixturevalue("slurm")
    # At the same time, since each mostly waits until its launcher notices the loss.
    with ThreadPoolExecutor(len(launchers)) as pool:
        ends = [pool.submit(lose_a_job, name, tmp_path / name) for name in launchers]
    for end in ends:
        end.result()


def lose_a_job(launcher: str, folder: Path) -> None:
    folder.mkdir()
    url = f"sqlite:///{folder}/study.db"
    outcome = run(launcher, folder, f"sweep.storage='{url}'", "trainer.total_steps=10")
    assert outcome.is_good, (outcome, (folder / "output.txt").read_text())
    [study] = open_storage(url, folder).get_all_studies()
    trials = optuna.load_study(study_name=study.study_name, storage=url).trials
    assert any(trial.intermediate_values for trial in trials), "no job reported to the storage"


def test_end_or_loss_of_a_job_that_was_killed_at_once_is_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_threads, "NOTICED_WITHIN", 0.2)
    monkeypatch.setattr(launcher_threads, "LOOK_EVERY", 0.05)
    killed = "import os, sys; from pathlib import Path; from sweeper.execution.lease import hold\n"
    killed += "with hold(Path(sys.argv[1]), 1): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)
    silent: Future[list[JobEnd]] = Future()
    [end] = launcher_threads.end_or_loss(silent, [tmp_path], lambda: None)
    assert (end.ending, end.reason) == (Ending.lost, "its process is gone")


class LeavingLauncher:
    """Raises what joblib does where a job called sys.exit."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> NoReturn:
        sys.exit(3)


def test_launched_of_a_job_that_leaves_is_a_loss(
    quick_settings: Callable[[], Settings], tmp_path: Path
) -> None:
    trial = BookedTrial(
        number=0, cell="a", l1_alpha=2.0, seed=0, is_running=True, record=None, optuna_number=0
    )
    cell = Cell(name="a", group="a", overrides=(), settings=quick_settings())
    pack = (Job(trial=trial, cell=cell, directory=tmp_path),)
    [end] = launcher_threads.launched(cast("Launcher", LeavingLauncher()), pack)
    assert (end.ending, end.reason) == (Ending.lost, "SystemExit: 3")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "LOOK_EVERY": 0.02,
        "ASK_QUEUE_EVERY": 0.04,
        "UNQUEUED_FOR": 0.3,
    }.items():
        monkeypatch.setattr(launcher_threads, name, seconds)


@pytest.mark.usefixtures("impatient")
def test_end_or_loss_of_a_job_that_leaves_the_queue_before_it_begins_is_a_loss(
    tmp_path: Path,
) -> None:
    places = iter([True, True])
    silent: Future[list[JobEnd]] = Future()
    [end] = launcher_threads.end_or_loss(silent, [tmp_path], lambda: next(places, False))
    assert (end.ending, end.reason) == (Ending.lost, "it was cancelled before it began")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_queued", [True, None])
def test_end_or_loss_of_a_job_that_waits_in_the_queue_or_may_do_so_goes_on(
    tmp_path: Path, is_queued: bool | None
) -> None:
    asked: list[int] = []
    ended: Future[list[JobEnd]] = Future()

    def answer() -> bool | None:
        asked.append(1)
        if len(asked) == 20:  # longer than a job may be without a place
            ended.set_result([JobEnd(ending=Ending.returned)])
        return is_queued

    [end] = launcher_threads.end_or_loss(ended, [tmp_path], answer)
    assert end.ending is Ending.returned


@pytest.mark.usefixtures("slurm")
def test_slurm_has_a_job_by_its_whole_name_until_that_is_cancelled(tmp_path: Path) -> None:
    name = "a,b.s.trial_00001"
    batch = ["sbatch", "--parsable", f"--job-name={name}", f"--output={tmp_path}/log"]
    number = subprocess.check_output([*batch, "--wrap=sleep 60"], text=True).strip()
    try:
        assert slurm_has(name)
        assert slurm_has("a") is False
    finally:
        subprocess.run(["scancel", "--full", number], check=True)
    waited = time.monotonic() + 20
    while slurm_has(name) and time.monotonic() < waited:
        time.sleep(0.2)
    assert slurm_has(name) is False


def test_two_node_cluster_leaves_no_process_behind() -> None:
    with two_node_cluster() as address:
        assert _processes_of(address)
    assert not _processes_of(address)


def _processes_of(address: str) -> list[str]:
    """Command lines that name a Ray cluster."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if address in line]
