from pathlib import Path

import pytest

from analysis.sources import folder_of, is_storage, name_of, names_of, redacted, report_of


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ana:s3cr:et@db/sweeps", "postgresql://ana:***@db/sweeps"),
        ("postgresql://ana:s3@cret@db/sweeps", "postgresql://ana:***@db/sweeps"),
        ("mysql://db/sweeps?user=ana&password=s3cret&x=1", "mysql://db/sweeps?user=ana&password=***&x=1"),
        ("sqlite:////data/study.db", "sqlite:////data/study.db"),
    ],
)  # fmt: skip
def test_redacted_shows_all_but_the_password(url: str, shown: str):
    assert redacted(url) == shown


@pytest.mark.parametrize("source", ["sqlite:///a.db", "runs/study.journal", Path("a.journal")])
def test_is_storage_urls_and_journals(source: str | Path):
    assert is_storage(source)


def test_is_storage_tables_and_folders_are_none():
    assert not is_storage("trials.csv")
    assert not is_storage(Path("multirun/demo"))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("postgresql://ana:pw@db/sweeps?sslmode=require", "sweeps"),
        ("runs/demo/study.journal", "demo"),
        ("runs/demo", "demo"),
        ("runs/trials.csv", "trials.csv"),
    ],
)
def test_name_of_is_the_studys(source: str, name: str):
    assert name_of(source) == name


def test_folder_of_a_url_is_here_and_of_a_file_its_own(tmp_path: Path):
    assert folder_of("sqlite:///a.db") == Path()
    assert folder_of(tmp_path) == tmp_path
    assert folder_of(tmp_path / "trials.csv") == tmp_path


def test_names_of_one_name_takes_as_many_folders_as_it_needs():
    sources = ["x/a/trials.csv", "y/a/trials.csv", "runs/demo"]
    assert names_of(sources) == ["x/a/trials.csv", "y/a/trials.csv", "demo"]


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("runs/a.csv", "runs/report_a"),
        ("runs/b.parquet", "runs/report_b"),
        ("runs/study.journal", "runs/report"),
        ("sqlite:///runs/a.db", "report_a"),
        ("postgresql://me:secret@host/sweeps", "report_sweeps"),
    ],
)
def test_report_of_files_have_folders_of_their_own(source: str, folder: str):
    assert report_of(source) == Path(folder)


def test_report_of_a_storage_is_named_after_the_sweep_that_was_named():
    assert report_of("sqlite:///a.db", "team/lay") == Path("report_team_lay")


def test_report_of_a_studys_folder_is_report(tmp_path: Path):
    assert report_of(tmp_path) == tmp_path / "report"
