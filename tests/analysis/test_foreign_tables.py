"""How l0 and l0_fraction of anybody's table are read; what else is in it: test_trials."""

import gzip
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


_CONTENT = "latent_dim,l1_alpha,l0\n1024,1,100\n1024,2,60\n"


@pytest.mark.parametrize("name", ["T.CSV", "t.tsv", "t.csv.gz", "T.TSV.GZ"])
def test_load_trials_other_endings_are_the_same_table(tmp_path: Path, name: str):
    text = _CONTENT.replace(",", "\t") if "tsv" in name.lower() else _CONTENT
    content = text.encode()
    is_compressed = name.lower().endswith(".gz")
    (tmp_path / name).write_bytes(gzip.compress(content) if is_compressed else content)
    assert load_trials(tmp_path / name)["l0"].tolist() == [100, 60]


@pytest.mark.parametrize(
    "content",
    [b"no archive", gzip.compress(_CONTENT.encode())[:-12]],
    ids=["no archive", "cut off"],  # an archive holds the time, and so would its id
)
def test_load_trials_damaged_archive_is_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "t.csv.gz").write_bytes(content)
    with pytest.raises(AnalysisError, match=r"t.csv.gz must be a readable table, but: "):
        load_trials(tmp_path / "t.csv.gz")


def test_load_trials_optunas_own_table_is_read_by_its_names(tmp_path: Path):
    (tmp_path / "t.csv").write_text(
        "params_l1_alpha,user_attrs_l0,user_attrs_latent_dim,user_attrs_trainer.warmup\n1,9,64,5\n"
    )
    [row] = load_trials(tmp_path / "t.csv").to_dict(orient="records")
    names = ("l1_alpha", "l0", "latent_dim", "trainer.warmup")
    assert [row[name] for name in names] == [1, 9, 64, 5]


def test_load_trials_prefixed_name_that_is_there_plainly_keeps_its_prefix(tmp_path: Path):
    (tmp_path / "t.csv").write_text("l1_alpha,params_l1_alpha,l0,latent_dim\n1,2,9,64\n")
    table = load_trials(tmp_path / "t.csv")
    assert table[["l1_alpha", "params_l1_alpha"]].to_numpy().tolist() == [[1, 2]]
