"""The records of a study: in its folder, in its storage, and those that only its storage has."""

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.records import State, validate_record
from analysis.sources import JOURNAL_FILE, Source, redacted
from analysis.study_storage import read_storage

TABLE_FILE = "trials.csv"
"""The table that a sweep leaves when it ends, of all trials that its answer counts."""

Records = list[Mapping[str, Any]]
Problems = list[dict[str, str]]

_MOST_NAMED = 5


def records_in_storage(source: Source, study_name: str | None, problems: Problems) -> Records:
    """The valid records of a storage, by trial number.

    Args:
        source: As for `analysis.study_storage.read_storage`.
        study_name: Likewise.
        problems: What could not be read is added to it.

    Raises:
        AnalysisError: The storage cannot be read.
    """
    stored = read_storage(source, study_name)
    problems += [dict(problem) for problem in stored.problems]
    records: Records = []
    for record in stored.records:
        try:
            validate_record(record)
        except AnalysisError as error:
            name = f"{redacted(str(source))}, trial {record.get('trial')}"
            problems.append({"source": name, "reason": f"not a valid trial record: {error}"})
        else:
            records.append(record)
    return records


def records_in_files(paths: Sequence[Path], problems: Problems) -> Records:
    """The records of `result.json` files; one that is truncated or invalid is left out.

    Args:
        paths: The files.
        problems: What could not be read is added to it.
    """
    records: Records = []
    for path in paths:
        try:
            record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
            if not isinstance(record, dict):
                raise AnalysisError("a trial record must be a JSON object.")
            validate_record(record)
        except (ValueError, AnalysisError) as error:
            problems.append({"source": str(path), "reason": f"not a valid trial record: {error}"})
        else:
            records.append(record)
    return records


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number in JSON")


def records_in_folder(folder: Path, problems: Problems, notes: list[str]) -> Records:
    """The records of a study's folder, by trial number.

    The study counts what its storage holds, so a trial whose file was deleted or is invalid is
    taken from the journal; where the storage is a database, it is named.

    Args:
        folder: The study's.
        problems: What could not be read is added to it.
        notes: What a reader must know is added to it.

    Raises:
        AnalysisError: The folder has neither results nor a journal.
    """
    paths = sorted(folder.glob("trial_*/result.json"))
    journal = folder / JOURNAL_FILE
    if not paths and journal.is_file():
        return records_in_storage(journal, None, problems)
    if not paths:
        raise AnalysisError(
            f"source must hold trial_*/result.json files, but the folder {str(folder)!r} has none."
        )
    records = records_in_files(paths, problems)
    known = {record.get("trial") for record in records}
    if not journal.is_file():
        notes += _only_in_table(folder / TABLE_FILE, known)
        return records
    return sorted([*records, *_only_in_journal(journal, known, notes)], key=_number)


def _only_in_journal(journal: Path, known: Container[object], notes: list[str]) -> Records:
    """The trials that have ended by the journal, and whose files are deleted or invalid since."""
    try:
        told = [each for each in records_in_storage(journal, None, []) if _has_ended(each)]
    except AnalysisError as error:
        notes.append(f"trials whose files were deleted are not counted: {error}")
        return []
    lacking = [record for record in told if record["trial"] not in known]
    numbers = [record["trial"] for record in lacking]
    notes += [
        f"{what}: counted by the record in {journal}, as in the study's answer"
        for what in _what_is_wrong(numbers, journal.parent)
    ]
    return lacking


def _only_in_table(table: Path, known: Container[object]) -> list[str]:
    """What the answer of a study in a database counted, and its folder does not tell."""
    try:
        listed = pd.read_csv(table, usecols=["trial"])["trial"].dropna().astype(int).tolist()
    except (OSError, ValueError):  # the sweep has not ended, or it is a folder of another kind
        return []
    lacking = [number for number in listed if number not in known]
    return [
        f"{what}: in {table} and the study's answer, but not counted here; name the study's "
        "storage in place of its folder to count it"
        for what in _what_is_wrong(lacking, table.parent)
    ]


def _what_is_wrong(numbers: Sequence[int], folder: Path) -> Iterator[str]:
    """Of which trials the file was deleted, and of which it is there and could not be read."""
    there = {path.parent.name for path in folder.glob("trial_*/result.json")}
    for word, is_there in (("gone", False), ("invalid", True)):
        meant = [number for number in numbers if (f"trial_{number:05d}" in there) is is_there]
        if meant:
            yield f"result.json of {_named(meant)} is {word}"


def _has_ended(record: Mapping[str, Any]) -> bool:
    is_numbered = record.get("trial") is not None
    return is_numbered and State(record["state"]).is_finished()


def _number(record: Mapping[str, Any]) -> float:
    number = record.get("trial")
    return float("inf") if number is None else number


def _named(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    listed = ", ".join(map(str, ordered[:_MOST_NAMED]))
    more = len(ordered) - _MOST_NAMED
    word = "trial" if len(ordered) == 1 else "trials"
    return f"{word} {listed}" + (f" and {more} more" if more > 0 else "")
