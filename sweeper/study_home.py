"""A study in a database has one folder: the leases there keep two commands from one trial."""

import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage

from sweeper.errors import SweepError
from sweeper.patience import patiently
from sweeper.study_folder import FOLDER_ID, read_definition

HOME_ATTR = "folder"
PATIENCE, PAUSE = 1.0, 0.1
"""Seconds for which, and between which, a study is looked at that its maker has not marked yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyHome:
    """Where a study's folder is."""

    id: str
    """The folder's own, in its `study.json`: it may be moved, and a copy has it too."""
    host: str
    path: str

    @staticmethod
    def of(folder: Path, folder_id: str) -> "StudyHome":
        """The home of a study that this machine runs."""
        return StudyHome(id=folder_id, host=socket.gethostname(), path=str(folder.resolve()))

    def has_left(self, other: "StudyHome") -> bool:
        """Whether this one is known to be no more: deleted, or made anew as the other."""
        on_one_machine = self.host == other.host
        return on_one_machine and (self.path == other.path or not Path(self.path).exists())

    def is_another_copy(self, other: "StudyHome") -> bool:
        """Whether the folder is still here, so that the other was copied from it, not moved."""
        there, here = Path(self.path), Path(other.path)
        try:
            is_one_folder = there.samefile(here)  # a disk may have several mount points
            return not is_one_folder and read_definition(there).get(FOLDER_ID) == self.id
        except (OSError, SweepError):
            return False


@patiently
def settle_home(
    storage: BaseStorage, study_name: str, cells: Iterable[str], home: StudyHome
) -> None:
    """Marks the Optuna studies of a sweep as those of its folder.

    Args:
        storage: A database, which commands in other folders may use too.
        study_name: The sweep's.
        cells: Names of the cells asked for.
        home: This command's.

    Raises:
        SweepError: Another folder has one of them.
    """
    prefix = f"{study_name}/"
    asked = {f"{prefix}{cell}" for cell in cells}
    there = {name for name in optuna.get_all_study_names(storage) if name.startswith(prefix)}
    # In one order, so that of two commands the one that makes the first study has them all.
    for name in sorted(asked | there):
        _settle(storage, name, home)


def _settle(storage: BaseStorage, name: str, home: StudyHome) -> None:
    try:
        study, known = optuna.create_study(storage=storage, study_name=name), None
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name)
        known = _home_of(study)
    if known is not None and _is_elsewhere(known, home):
        folder = Path(home.path)
        raise SweepError(
            f"hydra.sweep.dir must be {Path(known.path).parent} on {known.host}, where study "
            f"{folder.name!r} of this storage is run, but got {folder.parent}; choose that "
            "folder, or another sweep.study_name."
        )
    if known != home:
        study.set_user_attr(HOME_ATTR, asdict(home))


def _is_elsewhere(known: StudyHome, home: StudyHome) -> bool:
    if known.id == home.id:
        return known.is_another_copy(home)
    return not known.has_left(home)


def _home_of(study: optuna.Study) -> StudyHome | None:
    """None for a study of before there were homes; its maker is given the time to mark it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        told: dict[str, Any] | None = study.user_attrs.get(HOME_ATTR)
        if told is not None:
            return StudyHome(**told)
        if study.get_trials(deepcopy=False) or time.monotonic() > deadline:
            return None
        time.sleep(PAUSE)
