import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from analysis.records import empty_record
from analysis.study_records import records_in_folder
from sweeper.trial_book import NUMBER_ATTR, RECORD_ATTR

optuna.logging.set_verbosity(optuna.logging.ERROR)


def record(number: int) -> dict[str, Any]:
    return empty_record() | {
        "trial": number,
        "state": "complete",
        "latent_dim": 512,
        "l1_alpha": 1.0 + number,
        "alpha_canonical": 1.0 + number,
        "l0": 40.0 - number,
    }


def write_result(folder: Path, number: int, text: str | None = None) -> None:
    directory = folder / f"trial_{number:05d}"
    directory.mkdir()
    (directory / "result.json").write_text(text or json.dumps(record(number)))


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """A study of three trials that ended and one that runs; no files of trials yet."""
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    cell = optuna.create_study(storage=storage, study_name="demo/latent_dim=512")
    for number in range(3):
        told = {NUMBER_ATTR: number, RECORD_ATTR: record(number)}
        cell.add_trial(create_trial(value=0.1, user_attrs=told))
    cell.ask().set_user_attr(NUMBER_ATTR, 3)
    return tmp_path


def read(folder: Path) -> tuple[list[int], list[str], list[str]]:
    """Numbers of the trials, what could not be read, and notes."""
    problems: list[dict[str, str]] = []
    notes: list[str] = []
    records = records_in_folder(folder, problems, notes)
    return [each["trial"] for each in records], [each["source"] for each in problems], notes


def test_records_in_folder_deleted_trial_is_the_journals_and_named(folder: Path):
    write_result(folder, 0)
    write_result(folder, 2)

    numbers, problems, notes = read(folder)

    assert (numbers, problems) == ([0, 1, 2], [])
    assert notes == [
        f"result.json of trial 1 is gone: counted by the record in {folder / 'study.journal'}, as "
        "in the study's answer"
    ]


def test_records_in_folder_nothing_deleted_has_no_note(folder: Path):
    for number in range(3):
        write_result(folder, number)

    assert read(folder) == ([0, 1, 2], [], [])


def test_records_in_folder_truncated_result_is_the_journals_and_named_twice(folder: Path):
    write_result(folder, 0)
    write_result(folder, 1, '{"trial": 1, "sta')
    write_result(folder, 2)

    numbers, problems, notes = read(folder)

    assert numbers == [0, 1, 2]
    assert problems == [str(folder / "trial_00001" / "result.json")]
    assert notes == [
        "result.json of trial 1 is invalid: counted by the record in "
        f"{folder / 'study.journal'}, as in the study's answer"
    ]


def test_records_in_folder_study_of_a_database_tells_invalid_files_from_deleted_ones(
    tmp_path: Path,
):
    write_result(tmp_path, 0)
    write_result(tmp_path, 1, "{}")
    (tmp_path / "trials.csv").write_text("trial\n0\n1\n2\n")

    numbers, _, notes = read(tmp_path)

    assert numbers == [0]
    assert [note.partition(":")[0] for note in notes] == [
        "result.json of trial 2 is gone",
        "result.json of trial 1 is invalid",
    ]


def test_records_in_folder_journal_that_cannot_be_read_is_said_and_hinders_nothing(folder: Path):
    write_result(folder, 0)
    (folder / "study.journal").write_text("nothing of the kind\n" * 2)

    numbers, _, notes = read(folder)

    assert numbers == [0]
    assert notes[0].startswith("trials whose files were deleted are not counted: source must be")


def test_records_in_folder_study_of_a_database_names_what_only_its_table_has(tmp_path: Path):
    write_result(tmp_path, 0)
    (tmp_path / "trials.csv").write_text("trial,l0\n" + "".join(f"{n},9\n" for n in range(8)))

    numbers, _, notes = read(tmp_path)

    assert numbers == [0]
    assert notes == [
        "result.json of trials 1, 2, 3, 4, 5 and 2 more is gone: in "
        f"{tmp_path / 'trials.csv'} and the study's answer, but not counted here; name the "
        "study's storage in place of its folder to count it"
    ]


@pytest.mark.parametrize("text", ["", "latent_dim\n512\n", "trial\nfirst\n"])
def test_records_in_folder_table_of_another_kind_says_nothing(tmp_path: Path, text: str):
    write_result(tmp_path, 0)
    (tmp_path / "trials.csv").write_text(text)

    assert read(tmp_path) == ([0], [], [])
