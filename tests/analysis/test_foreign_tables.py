"""How l0 and l0_fraction of anybody's table are read; what else is in it: test_trials."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.trials import load_trials


def written(folder: Path, rows: str) -> Path:
    path = folder / "t.csv"
    path.write_text(f"latent_dim,l1_alpha,l0,l0_fraction\n{rows}")
    return path


def test_load_trials_l0_and_fraction_complete_each_other_row_by_row(tmp_path: Path):
    table = load_trials(written(tmp_path, "1000,1,,0.05\n1000,2,40,\n1000,3,,\n"))
    assert table["l0"].fillna(-1).tolist() == [50.0, 40.0, -1]
    assert table["l0_fraction"].fillna(-1).tolist() == [0.05, 0.04, -1]


@pytest.mark.parametrize(
    "rows", ["1000,1,,0.7\n1000,2,,3.0\n", "1000,1,7,0.7\n1000,2,30,3.0\n"], ids=["alone", "both"]
)
def test_load_trials_fraction_in_percent_is_refused(tmp_path: Path, rows: str):
    path = written(tmp_path, rows)
    with pytest.raises(
        AnalysisError, match=r"l0_fraction must be at most 1 .*t\.csv, but row 1 has 3 \(is it in"
    ):
        load_trials(path)


def test_load_trials_l0_above_the_width_is_read_again(tmp_path: Path):
    load_trials(written(tmp_path, "1000,1,1200,\n1000,2,900,\n")).to_csv(tmp_path / "again.csv")
    assert load_trials(tmp_path / "again.csv")["l0_fraction"].tolist() == [1.2, 0.9]


def notes_of(folder: Path, rows: str) -> str:
    return " ".join(load_trials(written(folder, rows)).attrs["notes"])


def test_load_trials_every_l0_below_1_is_asked_about(tmp_path: Path):
    assert "t.csv: every l0 is below 1: is it a fraction? Then the column is l0_fraction." in (
        notes_of(tmp_path, "1000,1,0.5,\n1000,2,0.1,\n")
    )


@pytest.mark.parametrize(
    "rows",
    ["1000,1,5,\n1000,2,0.1,\n", "1000,1,0,\n", "1000,1,0.5,0.0005\n"],
    ids=["one is above", "no latent is on", "its fraction agrees"],
)
def test_load_trials_small_l0_that_is_a_count_is_not_asked_about(tmp_path: Path, rows: str):
    assert "is it a fraction?" not in notes_of(tmp_path, rows)


def test_load_trials_parquet_without_any_l0_is_read(tmp_path: Path):
    table = pd.DataFrame({"latent_dim": [512], "l1_alpha": [1.0], "l0": [None]})
    table.to_parquet(tmp_path / "t.parquet")
    assert load_trials(tmp_path / "t.parquet")["l0"].isna().all()


@pytest.mark.parametrize("column", ["penalty", "objective"])
def test_load_trials_lists_that_say_several_objectives_are_refused(tmp_path: Path, column: str):
    table = {"latent_dim": 512, "l1_alpha": [1.0, 2.0], "l0": 9.0, column: [["l1"], ["tanh"]]}
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(AnalysisError, match=f"{column} must be one for all rows .*'l1'.*'tanh'"):
        load_trials(tmp_path / "t.parquet")
