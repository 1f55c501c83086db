import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.records import COLUMN, validate_record
from sweeper.job import run_trial
from sweeper.record import recipe
from sweeper.settings import Settings


def test_run_trial_record_has_every_column_and_is_on_disk(
    quick_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    record = run_trial(quick_settings(), tmp_path)
    validate_record(record)
    assert COLUMN.keys() <= record.keys()
    assert json.loads((tmp_path / "result.json").read_text())["l0"] == record["l0"]


@pytest.mark.parametrize(
    ("objective", "scale"), [("guide", 1.0), ("saelens", None), ("anthropic", None)]
)
def test_run_trial_trains_at_the_converted_alpha(
    quick_settings: Callable[..., Settings], tmp_path: Path, objective: str, scale: float | None
) -> None:
    record = run_trial(quick_settings(f"objective={objective}"), tmp_path)
    factor = record["l1_alpha"] / record["alpha_canonical"]
    assert record["l1_alpha"] == 3
    assert factor == pytest.approx(1.0) if scale else factor != pytest.approx(1.0, abs=1e-4)


def test_run_trial_record_names_its_recipe(
    quick_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = quick_settings("trainer.total_steps=2", "trainer.gradient_clip=null")
    assert run_trial(settings, tmp_path)["recipe"] == recipe(settings)


def test_run_trial_of_an_l0_penalty_converts_alpha_by_the_square(
    quick_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    factors: dict[str, float] = {}
    for architecture in ("standard", "jumprelu"):
        asked = ("objective=gemma_scope", f"sae={architecture}", "sae.latent_dim=64", "l1_alpha=3")
        settings = quick_settings(*asked, "trainer.total_steps=2")
        record = run_trial(settings, tmp_path / architecture)
        factors[architecture] = record["l1_alpha"] / record["alpha_canonical"]
    assert factors["jumprelu"] == pytest.approx(factors["standard"] ** 2)


def test_settings_tanh_penalty_in_units_of_other_data_is_refused(
    quick_settings: Callable[..., Settings],
) -> None:
    with pytest.raises(AnalysisError, match=r"gemma_scope units .* but got 'tanh'"):
        quick_settings("objective=gemma_scope", "sae=jumprelu", "sae.jumprelu.penalty=tanh")


def test_run_trial_l0_fractions_agree_with_the_count(
    quick_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    record = run_trial(quick_settings(), tmp_path)
    assert record["l0_fraction"] == record["l0"] / 64
    assert record["l0_alive_fraction"] == record["l0"] / record["alive"]


@pytest.mark.parametrize(("tolerance", "is_named"), [(0.05, True), (0.99, False)])
def test_run_trial_verdict_uses_the_sweeps_own_tolerance(
    quick_settings: Callable[..., Settings], tmp_path: Path, tolerance: float, is_named: bool
) -> None:
    settings = quick_settings("target_l0=8", f"sweep.tolerance={tolerance}")
    record = run_trial(settings, tmp_path)
    assert 1.1 < record["l0"] / 8 < 1.9
    assert any("band" in reason for reason in record["verdict_reasons"]) is is_named
    assert record["in_band"] is not is_named


def test_run_trial_steered_alpha_is_marked_as_controlled(
    quick_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    record = run_trial(quick_settings("trainer.controller=l0"), tmp_path)
    assert record["alpha_mode"] == "controlled"
    assert record["l1_alpha"] == 3
