import sys
from pathlib import Path

import pytest

from benchmarks import markdown
from benchmarks.markdown import command, merge_section, table


def test_table_columns_line_up() -> None:
    lines = table(["a", "long name"], [["wide cell", "1"], ["b", "2"]]).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --------- | --------- |"


def test_merge_section_replaces_one_section_and_leaves_the_other_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markdown, "RESULTS", tmp_path)
    merge_section("step", "Title", "first", "old")
    path = merge_section("step", "Title", "second", "kept")
    kept = path.read_text().partition("## second")[2]
    merge_section("step", "Title", "first", "new")
    text = path.read_text()
    assert text.startswith("# Title\n\n## first\n\n    python -m benchmarks.")
    assert text.endswith(f"## second{kept}")
    assert "new" in text
    assert "old" not in text


def test_command_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["storages.py", "--url", "mysql://me:secret@host/db"])
    assert command() == "python -m benchmarks.storages --url 'mysql://me:***@host/db'"
