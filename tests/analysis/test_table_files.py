from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.table_files import write_table

TABLE = pd.DataFrame(
    {"study": ["a_b & 50 %", "x|y\n{z}"], "width": [1024, 2048], "alpha": [2.4036, None]}
)


def written(tmp_path: Path, name: str) -> str:
    write_table(TABLE, tmp_path / name)
    return (tmp_path / name).read_text()


def test_write_table_markdown_escapes_bars_and_line_breaks(tmp_path: Path) -> None:
    assert written(tmp_path, "t.md").splitlines() == [
        "| study | width | alpha |",
        "| --- | --- | --- |",
        "| a_b & 50 % | 1024 | 2.40 |",
        r"| x\|y {z} | 2048 | - |",
    ]


def test_write_table_latex_escapes_its_special_characters(tmp_path: Path) -> None:
    lines = written(tmp_path, "t.tex").splitlines()

    assert lines[0] == r"\begin{tabular}{lrr}"
    assert lines[4] == r"a\_b \& 50 \% & 1024 & 2.40 \\"
    assert lines[5] == r"x|y \{z\} & 2048 & - \\"
    assert lines[-1] == r"\end{tabular}"


@pytest.mark.parametrize(
    ("name", "read"), [("t.csv", pd.read_csv), ("t.parquet", pd.read_parquet)]
)
def test_write_table_csv_and_parquet_read_back_unrounded(
    tmp_path: Path, name: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    write_table(TABLE, tmp_path / name)

    pd.testing.assert_frame_equal(read(tmp_path / name), TABLE)


def test_write_table_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        AnalysisError, match=r"output must end in one of \.csv, .*but got '.*t\.xls'"
    ):
        write_table(TABLE, tmp_path / "t.xls")
