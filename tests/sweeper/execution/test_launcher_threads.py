import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sweeper.execution.lease import current_owner

Start = Callable[..., subprocess.Popen[str]]

TRAINER = """
import time
from pathlib import Path

def train(config):
    step = 0
    while not Path("go").exists():
        step += 1
        config.report(step=step, l0=6.0)
        time.sleep(0.02)
    return {"l0": 6.0, "fvu": 0.1}
"""


def slurm_answers() -> bool:
    """Whether there is a Slurm here and its controller runs."""
    if shutil.which("sbatch") is None:
        return False
    asked = subprocess.run(["sinfo"], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


LAUNCHERS = [
    pytest.param("joblib", 2, id="joblib"),  # its workers are one pool: both trials are lost
    pytest.param("submitit_local", 1, id="submitit_local"),
    pytest.param(
        "submitit_slurm",
        1,
        id="submitit_slurm",
        marks=pytest.mark.skipif(not slurm_answers(), reason="needs Slurm"),
    ),
]


@pytest.mark.parametrize(("launcher", "lost_at_most"), LAUNCHERS)
def test_launcher_killed_job_is_lost_and_goes_on(
    start_command: Start, tmp_path: Path, launcher: str, lost_at_most: int
) -> None:
    (tmp_path / "waiting.py").write_text(TRAINER)
    study = tmp_path / "multirun" / "s"
    process = start_command(
        *("--multirun", "sweep.study_name=s", "sweep.slots=2", "l1_alpha=2", "seed=0,1"),
        *("sweep.train=waiting:train", f"hydra/launcher={launcher}"),
    )
    deadline = time.monotonic() + 120
    while not all((study / f"trial_0000{n}" / "history.csv").exists() for n in (0, 1)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    owner = current_owner(study / "trial_00001")
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    trials = pd.read_csv(study / "trials.csv")
    assert list(trials["state"]) == ["complete", "complete"]
    assert trials["attempt"].iloc[1] == 2
    assert (trials["attempt"] == 2).sum() <= lost_at_most
