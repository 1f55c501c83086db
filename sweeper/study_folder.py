"""The study's folder: its name, its definition and its trial directories."""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from analysis.sources import DEFINITION_FILE
from sae.files import write_json_atomically
from sweeper.errors import SweepError
from sweeper.settings import flatten, without

APP_NAME = "sae-sweep"
STOP_FILE = "stop"
FOLDER_ID = "folder"
"""Key of the definition's file with the folder's own name."""
TARGET = "target_l0"
OF_CELLS = ("cells", "axes")
"""Parts of a definition that new cells add to."""
ALWAYS_AXES = (
    "sae.latent_dim", TARGET, "l1_alpha", "hidden_dim", "seeds", "alpha_grid", "alpha_bounds",
)  # fmt: skip
"""Keys in which cells may differ whether they were given as lists or not."""


def default_study_name(definition: Mapping[str, Any]) -> str:
    """The app's name and a hash of what defines the study, so that the same command resumes."""
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    return f"{APP_NAME}-{digest[:10]}"


def trial_directory_name(number: int) -> str:
    """`trial_00000` and on: numbers run over the whole sweep."""
    return f"trial_{number:05d}"


def create_folder(folder: Path) -> None:
    """Makes the study's folder where it is missing.

    Raises:
        SweepError: The place cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unusable_folder(folder, error) from None


def is_of_the_disk(error: OSError, directory: Path) -> bool:
    """Whether an error says that a trial's place cannot be written, so that no other could.

    Whatever else a trainer may meet, a missing file of its own or a lost connection, is not.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return True
    if error.errno == errno.ENOENT or not isinstance(error.filename, str):
        return False
    return Path(error.filename).resolve().is_relative_to(directory.resolve().parent)


def unusable_folder(folder: Path, error: OSError) -> SweepError:
    """The line for an operating system's refusal to write below `folder`."""
    if error.errno == errno.ENOSPC:
        return SweepError(f"{folder} must have free disk space, but the disk is full.")
    return SweepError(
        f"{folder} must be a folder that can be written, but got: {error.strerror or error}."
    )


def refuse_unknown_trials(folder: Path, numbers: Collection[int]) -> None:
    """Raises a SweepError where the folder holds trials that the study's storage does not know.

    Args:
        folder: The study's.
        numbers: Of the trials in the storage.
    """
    known = {trial_directory_name(number) for number in numbers}
    for result in sorted(folder.glob("trial_*/result.json")):
        if result.parent.name not in known:
            raise SweepError(
                f"sweep.storage must be that of study {folder.name!r}, but it does not know "
                f"{result.parent}; choose that storage, or another sweep.study_name."
            )


def settle_definition(
    folder: Path, definition: Mapping[str, Any], *, mixed: bool = False
) -> dict[str, Any]:
    """Writes what the study is made with, or holds it against what is there.

    New cells may join a study; a cell that is there must be asked for in the same way.

    Args:
        folder: The study's.
        definition: Of what is asked for.
        mixed: Whether new cells may have other settings than those that are there.

    Returns:
        The study's definition, with the cells that were there, and the folder's own name, which it
        keeps where it is moved.

    Raises:
        SweepError: The study was made with other settings; the line names the first.
    """
    path = folder / DEFINITION_FILE
    known: dict[str, Any] = read_definition(folder) if path.exists() else {}
    if known:
        _refuse_changes(folder.name, known, definition)
        if not mixed:
            _refuse_strangers(folder.name, known, definition)
        definition = {
            **definition,
            "cells": {**known["cells"], **definition["cells"]},
            "axes": sorted({*known["axes"], *definition["axes"]}),
        }
    definition = {**definition, FOLDER_ID: str(known.get(FOLDER_ID) or uuid.uuid4().hex)}
    if definition != known:
        write_json_atomically(path, definition)
    return definition


def read_definition(folder: Path) -> dict[str, Any]:
    """What the study was made with.

    Raises:
        SweepError: Its file says nothing of the kind.
    """
    path = folder / DEFINITION_FILE
    try:
        known = json.loads(path.read_text())
        if not (isinstance(known["cells"], dict) and isinstance(known["axes"], list)):
            raise TypeError("cells is no table, or axes no list")
    except (ValueError, KeyError, TypeError) as error:
        raise SweepError(f"{path} must be a study's definition, but got: {error}.") from None
    return known


def _refuse_changes(name: str, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """What is asked of the study as a whole, and of the cells that it has already."""
    _refuse_differing(
        name,
        {key: value for key, value in known.items() if key not in (*OF_CELLS, FOLDER_ID)},
        {key: value for key, value in asked.items() if key not in OF_CELLS},
        "",
    )
    for cell in sorted(known["cells"].keys() & asked["cells"].keys()):
        _refuse_differing(name, known["cells"][cell], asked["cells"][cell], "")


def _refuse_strangers(name: str, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """New cells may differ from the others in what makes cells, and in nothing else."""
    if not known["cells"]:
        return
    listed = {*known["axes"], *asked["axes"]}
    if any("." not in axis and axis not in _groups(asked) for axis in listed):
        return  # a list of whole configurations, such as +guide, may change anything
    axes = {*ALWAYS_AXES, *listed}
    one = without(flatten(next(iter(known["cells"].values()))), axes)
    for cell in sorted(asked["cells"].keys() - known["cells"].keys()):
        _refuse_differing(
            name,
            one,
            without(flatten(asked["cells"][cell]), axes),
            " (sweep.mixed=true lets them join)",
        )


def _groups(definition: Mapping[str, Any]) -> set[str]:
    """The groups and plain keys of a cell's settings."""
    return {key for cell in definition["cells"].values() for key in cell}


def _refuse_differing(
    name: str, known: Mapping[str, Any], asked: Mapping[str, Any], advice: str
) -> None:
    before, after = flatten(known), flatten(asked)
    differing = sorted(
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    )
    if not differing:
        return
    key = differing[0]
    more = f" ({len(differing) - 1} more differ)" if len(differing) > 1 else ""
    if differing == [TARGET]:
        both = f"{TARGET}={before[TARGET]:g},{after[TARGET]:g}"
        advice = f", or {both}, whose cells share their runs"
    raise SweepError(
        f"{key} must stay {before.get(key)} in study {name!r}, but got {after.get(key)}{more}; "
        f"choose another sweep.study_name{advice}."
    )
