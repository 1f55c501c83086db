import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.records import COLUMN, validate_record
from sweeper.job import run_trial
from sweeper.settings import Settings

QUICK = (
    "activations=synthetic",
    "activations.synthetic.d_in=16",
    "activations.synthetic.n_features=32",
    "activations.synthetic.active_features=2",
    "activations.synthetic.n_tokens=4000",
    "activations.synthetic.held_out_tokens=1000",
    "sae.latent_dim=64",
    "trainer.batch_size=128",
    "trainer.learning_rate=5e-3",
    "trainer.total_steps=60",
    "target_l0=6",
    "l1_alpha=3",
)


def test_run_trial_record_has_every_column_and_is_on_disk(
    settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    record = run_trial(settings_of(*QUICK), tmp_path)
    validate_record(record)
    assert COLUMN.keys() <= record.keys()
    assert json.loads((tmp_path / "result.json").read_text())["l0"] == record["l0"]


@pytest.mark.parametrize(
    ("objective", "scale"), [("guide", 1.0), ("saelens", None), ("anthropic", None)]
)
def test_run_trial_trains_at_the_converted_alpha(
    settings_of: Callable[..., Settings], tmp_path: Path, objective: str, scale: float | None
) -> None:
    record = run_trial(settings_of(*QUICK, f"objective={objective}"), tmp_path)
    factor = record["l1_alpha"] / record["alpha_canonical"]
    assert record["l1_alpha"] == 3
    assert factor == pytest.approx(1.0) if scale else factor != pytest.approx(1.0, abs=1e-4)


def test_run_trial_l0_fractions_agree_with_the_count(
    settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    record = run_trial(settings_of(*QUICK), tmp_path)
    assert record["l0_fraction"] == record["l0"] / 64
    assert record["l0_alive_fraction"] == record["l0"] / record["alive"]


@pytest.mark.parametrize(("tolerance", "is_named"), [(0.05, True), (0.99, False)])
def test_run_trial_verdict_uses_the_sweeps_own_tolerance(
    settings_of: Callable[..., Settings], tmp_path: Path, tolerance: float, is_named: bool
) -> None:
    settings = settings_of(*QUICK, "target_l0=8", f"sweep.tolerance={tolerance}")
    record = run_trial(settings, tmp_path)
    assert 1.1 < record["l0"] / 8 < 1.9
    assert any("band" in reason for reason in record["verdict_reasons"]) is is_named
    assert record["in_band"] is not is_named


def test_run_trial_steered_alpha_is_marked_as_controlled(
    settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    record = run_trial(settings_of(*QUICK, "trainer.controller=l0"), tmp_path)
    assert record["alpha_mode"] == "controlled"
    assert record["l1_alpha"] == 3
