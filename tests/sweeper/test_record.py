import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.errors import SweepError
from sweeper.record import (
    Ticket,
    git_sha,
    is_in_band,
    read_record,
    recipe,
    signed_log_error,
    write_record,
)
from sweeper.settings import Settings


def test_ticket_written_and_read_is_the_same(tmp_path: Path) -> None:
    ticket = Ticket(trial=3, cell="latent_dim=64", predicted_l0=31.5, prior_weights={"theory": 1})
    ticket.write(tmp_path)
    assert Ticket.read(tmp_path) == ticket


def test_ticket_missing_file_is_a_run_that_stands_alone(tmp_path: Path) -> None:
    assert Ticket.read(tmp_path) == Ticket()


def test_ticket_for_record_tells_settings_from_what_a_trainer_measures() -> None:
    ticket = Ticket(params={"+trainer.alpha_warmup": 0.1}, varied={"sae.k": 3})

    assert ticket.for_record()["setting_columns"] == "sae.k; trainer.alpha_warmup"
    assert Ticket().for_record()["setting_columns"] == "none"


@pytest.mark.parametrize("text", ['{"trial": ', '{"colour": 1}', "[1]"])
def test_ticket_foreign_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "trial.json").write_text(text)
    with pytest.raises(SweepError, match="must be a trial's ticket"):
        Ticket.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"attempt": "x"}', "attempt='x'"),
        ('{"trial": null}', "trial=None"),
        ('{"params": []}', "params=[]"),
        ('{"pack": "12"}', "pack='12'"),
        ('{"study": 3}', "study=3"),
    ],
)
def test_ticket_value_of_another_kind_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "trial.json").write_text(text)
    with pytest.raises(SweepError, match="must be a trial's ticket") as caught:
        Ticket.read(tmp_path)
    assert line in str(caught.value)


def test_read_record_missing_file_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("text", ['{"l0": 3', "[]", ""])
def test_read_record_truncated_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(SweepError, match=r"result\.json must be a trial's record"):
        read_record(tmp_path)


RECORD: dict[str, Any] = {
    "state": "complete",
    "verdict": "success",
    "verdict_reasons": [],
    "latent_dim": 64,
    "l1_alpha": 2.0,
    "alpha_canonical": 2.0,
    "target_l0": 6.0,
    "l0": 6.1,
    "l0_log_error": 0.0165,
    "in_band": True,
    "fvu": 0.3,
}


def test_read_record_written_by_a_job_is_read_as_it_is(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD


def test_read_record_without_active_latents_needs_no_log_error(tmp_path: Path) -> None:
    dead = RECORD | {"l0": 0.0, "l0_log_error": None}
    write_record(tmp_path, dead)
    assert read_record(tmp_path) == dead


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({}, "but got: state must be in every trial record"),
        ({"state": "complete", "l0": 3}, "but got: latent_dim must be known"),
        (RECORD | {"l0": "many"}, "but got: l0 must be a number"),
        (RECORD | {"l0_log_error": None}, "but has no l0_log_error"),
        (RECORD | {"fvu": None}, "but has no fvu"),
        ({"state": "pruned"}, "but has no latent_dim"),
        (RECORD | {"state": "running"}, "a trial that has ended, but got running"),
    ],
)
def test_read_record_object_that_is_no_record_is_one_line(
    tmp_path: Path, record: dict[str, Any], line: str
) -> None:
    (tmp_path / "result.json").write_text(json.dumps(record))
    with pytest.raises(SweepError, match=r"result\.json must be .* trial") as caught:
        read_record(tmp_path)
    assert line in str(caught.value)


def test_write_record_nan_becomes_null(tmp_path: Path) -> None:
    write_record(tmp_path, {"l0": math.nan, "fvu": math.inf, "mse": 1.5})
    assert json.loads((tmp_path / "result.json").read_text()) == {
        "l0": None,
        "fvu": None,
        "mse": 1.5,
    }


@given(st.floats(1, 1e5), st.floats(0.01, 0.5))
def test_is_in_band_is_symmetric_in_the_logarithm(target: float, tolerance: float) -> None:
    for factor in (1 + tolerance, 1 / (1 + tolerance)):
        assert is_in_band(signed_log_error(target * factor, target), tolerance)
        outside = factor * (1.001 if factor > 1 else 0.999)
        assert not is_in_band(signed_log_error(target * outside, target), tolerance)


def test_signed_log_error_without_active_latents_is_none_and_never_in_band() -> None:
    assert signed_log_error(0.0, 32) is None
    assert not is_in_band(None, 0.05)


def test_git_sha_names_the_commit_of_a_checkout(tmp_path: Path) -> None:
    assert git_sha(tmp_path) is None
    commands = (
        ["git", "init", "-q"],
        [
            "git",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qm",
            "x",
            "--allow-empty",
        ],
    )
    for command in commands:
        subprocess.run(command, cwd=tmp_path, check=True)
    sha = git_sha(tmp_path)
    assert sha is not None
    assert len(sha) == 40


@pytest.mark.parametrize(
    "override",
    [
        "seed=3",
        "l1_alpha=7",
        "target_l0=9",
        "sae.latent_dim=32",
        "trainer.learning_rate=1e-4",
        "trainer.total_steps=99",
        "trainer.precision=fp32",
        "trainer.target_l0_start=0.2",
        "sae.jumprelu.bandwidth=0.1",
        "objective=saelens",
    ],
)
def test_recipe_of_settings_that_have_a_column_or_move_nothing_is_the_same(
    quick_settings: Callable[..., Settings], override: str
) -> None:
    assert recipe(quick_settings(override)) == recipe(quick_settings())


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("trainer.gradient_clip=null", "trainer.gradient_clip=null"),
        ("trainer.alpha_warmup=0", "trainer.alpha_warmup=0"),
        ("sweep.train=own.trainer:train", "sweep.train=own.trainer:train"),
        ("sae.tied_init=false", "sae.tied_init=False"),
        ("trainer.dead_latents.auxk_coefficient=0", "trainer.dead_latents.auxk_coefficient=0"),
    ],
)
def test_recipe_of_another_training_is_another_and_names_it(
    quick_settings: Callable[..., Settings], override: str, named: str
) -> None:
    found, usual = recipe(quick_settings(override)), recipe(quick_settings())

    assert found.split()[0] != usual.split()[0]
    assert named in found


def test_recipe_leaves_out_a_key_that_has_its_own_column(
    quick_settings: Callable[..., Settings],
) -> None:
    key = "trainer.gradient_clip"

    assert recipe(quick_settings(f"{key}=5"), [key]) == recipe(quick_settings(), [key])
