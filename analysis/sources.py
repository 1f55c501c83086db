"""What trials are read from: a folder, a file, or an Optuna storage by URL."""

import re
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import AnalysisError

Source = Path | str

JOURNAL_FILE = "study.journal"
"""Optuna's journal in a study's folder."""
DEFINITION_FILE = "study.json"
"""What a study was made with, in its folder."""

_PASSWORD = re.compile(r"(?<=://)([^:/?#]*):(.*)@")
_PASSWORD_OPTION = re.compile(r"(?i)(?<=password=)[^&\s]*")


def is_url(source: Source) -> bool:
    """Whether a source is a database's URL."""
    return "://" in str(source)


def is_storage(source: Source) -> bool:
    """Whether a source is a database's URL or a journal file."""
    return is_url(source) or Path(source).suffix == ".journal"


def redacted(url: str) -> str:
    """The URL as it may be shown: its password as `***`."""
    return _PASSWORD_OPTION.sub("***", _PASSWORD.sub(r"\1:***@", url))


def name_of(source: Source) -> str:
    """What a study is called: its folder, or the file, or the database without a password."""
    if is_url(source):
        return redacted(str(source)).partition("://")[2].partition("?")[0].rpartition("/")[2]
    path = Path(source).resolve()
    return path.parent.name if path.name == JOURNAL_FILE else path.name


def names_of(sources: Sequence[Source]) -> list[str]:
    """What several studies are called: those of one name are told apart by the folders above.

    Raises:
        AnalysisError: One of them is named twice.
    """
    names = [name_of(source) for source in sources]
    whole = [_whole(source) for source in sources]
    if len(set(whole)) < len(whole):
        twice = next(each for each in whole if whole.count(each) > 1)
        raise AnalysisError(f"studies must be different ones, but got {twice!r} twice.")
    depth = 1
    while len(set(names)) < len(names):
        depth += 1
        names = [
            "/".join(full.split("/")[-depth:]) if names.count(name) > 1 else name
            for name, full in zip(names, whole, strict=True)
        ]
    return names


def _whole(source: Source) -> str:
    if is_url(source):
        return redacted(str(source))
    path = Path(source).resolve()
    return (path.parent if path.name == JOURNAL_FILE else path).as_posix()


def folder_of(source: Source) -> Path:
    """Where a study's own files are, or its results may be put."""
    if is_url(source):
        return Path()
    path = Path(source)
    return path if path.is_dir() else path.parent


def report_of(source: Source, study_name: str | None = None) -> Path:
    """Where a source's report is put unless it is told: each file and storage has its own.

    Args:
        source: What it reports.
        study_name: Which sweep of a storage, where it was named.
    """
    if is_url(source):
        name = study_name or Path(name_of(source)).stem
        return folder_of(source) / f"report_{name.replace('/', '_')}"
    is_study = Path(source).is_dir() or Path(source).name == JOURNAL_FILE
    return folder_of(source) / ("report" if is_study else f"report_{Path(source).stem}")
