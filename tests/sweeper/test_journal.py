"""The journal after what may happen to a file."""

import resource
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage

from sweeper.errors import SweepError
from sweeper.journal import JOURNAL_FILE, Journal
from sweeper.storage import open_storage


def study_in(folder: Path, name: str = "s") -> optuna.Study:
    storage = JournalStorage(Journal(folder))
    return optuna.create_study(storage=storage, study_name=name, load_if_exists=True)


def numbers_in(folder: Path) -> list[int]:
    return [trial.number for trial in study_in(folder).get_trials()]


def test_journal_whose_last_line_was_cut_short_loses_that_line_alone(tmp_path: Path) -> None:
    study_in(tmp_path).ask()
    whole = (tmp_path / JOURNAL_FILE).read_bytes()
    study_in(tmp_path).ask()
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(path.read_bytes()[:-7])
    assert numbers_in(tmp_path) == [0]
    assert path.read_bytes().startswith(whole)
    assert study_in(tmp_path).ask().number == 1
    assert numbers_in(tmp_path) == [0, 1]


def test_journal_that_another_process_cut_short_is_mended_before_a_line_is_added(
    tmp_path: Path,
) -> None:
    study = study_in(tmp_path)
    with (tmp_path / JOURNAL_FILE).open("ab") as stream:
        stream.write(b'{"op_code":4,"stu')
    study.ask()
    assert numbers_in(tmp_path) == [0]


def test_journal_append_that_finds_no_room_leaves_whole_lines(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    study.ask()
    before = (tmp_path / JOURNAL_FILE).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            study.ask()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / JOURNAL_FILE).read_bytes() == before


def test_open_storage_of_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    study_in(tmp_path).ask()
    path = tmp_path / JOURNAL_FILE
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first[:-5] + b"\n" + rest)
    with pytest.raises(SweepError, match=r"study\.journal must hold a study's journal, but got"):
        open_storage(None, tmp_path)
