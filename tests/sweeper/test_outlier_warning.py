"""What a user is told whose activations have few rows that outweigh all others."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

App = Callable[..., int]
LINE = "rows above 10 times the median norm hold 100 % of the squared norm"
OWN = (
    "activations=npy",
    "activations.path=sinks.npy",
    "activations.held_out_tokens=500",
    "activations.cache_dir=cache",
    "trainer.total_steps=30",
    "l1_alpha=2",
)


@pytest.fixture(autouse=True)
def _sinks(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32)
    rows[::100] *= 1000
    np.save(tmp_path / "sinks.npy", rows)


def test_single_run_on_outliers_warns_before_it_trains_and_in_its_verdict(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*OWN, "hydra.run.dir=run") == 0
    assert LINE in capsys.readouterr().out.splitlines()[1]  # after what the activations are
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record["outlier_share"] > 0.99
    assert any(LINE in reason for reason in record["verdict_reasons"])


def test_sweep_on_outliers_warns_in_its_header_and_beside_its_answer(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    app("--multirun", *OWN)
    lines = [LINE in line for line in capsys.readouterr().out.splitlines()]
    assert lines[2]  # after what the study and the activations are
    assert any(lines[-3:])


def test_dry_run_on_outliers_warns(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(*OWN, "sweep.dry_run=true") == 0
    assert LINE in capsys.readouterr().out
