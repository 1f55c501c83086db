import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

App = Callable[..., int]
Start = Callable[..., subprocess.Popen[str]]

CHANGED = ["wall_s", "started", "finished", "attempt"]
GRID = ("--multirun", "l1_alpha=1,3", "seed=0,1", "sweep.keep=all", "trainer.total_steps=60")


def weights(study: Path) -> dict[str, bytes]:
    found = study.glob("trial_*/sae/sae_weights.safetensors")
    return {path.parent.parent.name: path.read_bytes() for path in found}


def trials_of(study: Path) -> pd.DataFrame:
    return pd.read_csv(study / "trials.csv")


def ticket(study: Path, trial: int) -> dict[str, object]:
    return json.loads((study / f"trial_{trial:05d}" / "trial.json").read_text())


def wait_for_owner(lease: Path, process: subprocess.Popen[str]) -> int:
    """The process that holds a trial."""
    deadline = time.monotonic() + 120
    while not (lease.exists() and lease.read_text().endswith("}")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return json.loads(lease.read_text())["pid"]


def test_packs_in_workers_of_which_one_is_killed_end_with_the_bytes_of_trials_apart(
    start_command: Start, app: App, tmp_path: Path
) -> None:
    packed, apart = tmp_path / "multirun" / "packed", tmp_path / "multirun" / "apart"
    process = start_command(*GRID, "sweep.study_name=packed", "sweep.pack=2", "sweep.slots=2")
    worker = wait_for_owner(packed / "trial_00001" / "lease_00001.json", process)
    os.kill(worker, signal.SIGKILL)
    assert app(*GRID, "sweep.study_name=apart") == 0
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "trial 1 goes on from its last checkpoint" in output or "trial 1 starts again" in output
    assert [ticket(packed, trial)["pack"] for trial in (0, 3)] == [[0, 1], [2, 3]]
    assert list(trials_of(packed)["attempt"]) == [2, 2, 1, 1]
    assert len(weights(packed)) == 4
    assert weights(packed) == weights(apart)
    pd.testing.assert_frame_equal(
        trials_of(packed).drop(columns=CHANGED), trials_of(apart).drop(columns=CHANGED)
    )


def test_pack_leaves_each_trial_its_configuration(app: App, tmp_path: Path) -> None:
    assert app(*GRID, "sweep.study_name=s", "sweep.pack=4", "trainer.total_steps=10") == 0
    configs = [
        (tmp_path / f"multirun/s/trial_0000{number}/.hydra/config.yaml").read_text().split("\n")
        for number in range(4)
    ]
    for number, expected in ((1, ["seed: 1"]), (3, ["l1_alpha: 3.0", "seed: 1"])):
        changed = [new for old, new in zip(configs[0], configs[number], strict=True) if old != new]
        assert changed == expected


def test_pack_of_a_search_proposes_different_alphas_together(app: App, tmp_path: Path) -> None:
    app("--multirun", "sweep.study_name=s", "sweep.pack=3", "sweep.n_trials=3")
    study = tmp_path / "multirun" / "s"
    assert ticket(study, 2)["pack"] == [0, 1, 2]
    alphas = sorted(trials_of(study)["l1_alpha"][:3])
    assert all(high > 1.05 * low for low, high in pairwise(alphas))


def test_pack_with_a_trainer_of_ones_own_is_refused(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("--multirun", "sweep.pack=2", "sweep.train=mine:train") == 2
    assert "sweep.pack must be 1 with a trainer of one's own" in capsys.readouterr().err
