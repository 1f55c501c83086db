from collections.abc import Sequence
from pathlib import Path

import pytest

from analysis.refitting import refit
from analysis.trials import load_trials


def written(folder: Path, column: str, values: Sequence[object]) -> Path:
    rows = [f"1024,{2**i},{200 / 2**i},{value}" for i, value in enumerate(values)]
    path = folder / "t.csv"
    path.write_text("\n".join([f"latent_dim,l1_alpha,l0,{column}", *rows]))
    return path


def groups(path: Path) -> int:
    return 1 + len(refit(load_trials(path), target_l0=64).others)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("trainer.final_loss", (0.51, 0.61, 0.71, 0.81), 1),
        ("trainer.alpha_warmup", (0.1, 0.1, 0.2, 0.2), 2),
        ("trainer.total_tokens", (1, 2, 3, 4), 4),
        ("trainer.schedule", ("a", "b", "c", "d"), 4),
        ("params_trainer.decay", (0.51, 0.61, 0.71, 0.81), 4),
    ],
    ids=["fractions that all differ", "shared", "whole", "text", "searched by Optuna"],
)
def test_refit_divides_by_a_foreign_key_that_runs_can_share(
    tmp_path: Path, column: str, values: Sequence[object], expected: int
):
    assert groups(written(tmp_path, column, values)) == expected


def test_refit_foreign_column_of_settings_decides(tmp_path: Path):
    path = written(
        tmp_path, "setting_columns,trainer.decay", [f"trainer.decay,{i}.5" for i in range(4)]
    )
    assert groups(path) == 4


def test_load_trials_measured_column_is_named_in_a_note(tmp_path: Path):
    notes = load_trials(written(tmp_path, "trainer.loss", (0.51, 0.61, 0.71))).attrs["notes"]
    assert notes[0].startswith(f"{tmp_path / 't.csv'}: taken for measured, not for settings, ")
    assert "every row has another value: trainer.loss;" in notes[0]


def test_load_trials_two_fractions_are_settings(tmp_path: Path):
    assert groups(written(tmp_path, "trainer.decay", (0.1, 0.2))) == 2
