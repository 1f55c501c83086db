from pathlib import Path

import pytest

from analysis.csv_tables import read_csv


def written(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "rows",
    ["512,2,110,\n512,4,50,\n", "512,2,110, ,,\n512,4,50\n", "512,2,110\n512,4,50,\n"],
    ids=["one in every row", "several in one row", "only in a later row"],
)
def test_read_csv_empty_trailing_fields_are_left_out(tmp_path: Path, rows: str):
    table = read_csv(written(tmp_path, f"latent_dim,l1_alpha,l0\n{rows}"))

    assert table.columns.tolist() == ["latent_dim", "l1_alpha", "l0"]
    assert table.to_numpy().tolist() == [[512, 2, 110], [512, 4, 50]]
    assert table.index.tolist() == [0, 1]


@pytest.mark.parametrize("rows", ["512,2,110,0.2\n", "512,2,110,\n512,4,50,0.3\n"])
def test_read_csv_row_longer_than_the_header_is_refused(tmp_path: Path, rows: str):
    line = 1 + rows.count("\n")
    with pytest.raises(ValueError, match=f"line {line} has 4 fields, the header 3"):
        read_csv(written(tmp_path, f"latent_dim,l1_alpha,l0\n{rows}"))


def test_read_csv_separator_is_the_headers(tmp_path: Path):
    table = read_csv(written(tmp_path, "latent_dim;l1_alpha;l0\n512;1,5;110\n"))
    assert table.iloc[0].tolist() == [512, "1,5", 110]


def test_read_csv_error_of_the_rows_names_what_pandas_says(tmp_path: Path):
    with pytest.raises(ValueError, match="EOF inside string"):
        read_csv(written(tmp_path, 'latent_dim,l1_alpha,l0\n512,1,"3\n'))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_read_csv_blanks_around_names_are_left_out(tmp_path: Path, end: str):
    path = tmp_path / "t.csv"
    lines = ["# made by hand", " latent_dim , l1_alpha,l0 ", "1024, 1,100", ""]
    path.write_bytes(end.join(lines).encode())
    table = read_csv(path)
    assert table.columns.tolist() == ["latent_dim", "l1_alpha", "l0"]
    assert table.to_numpy().tolist() == [[1024, 1, 100]]
