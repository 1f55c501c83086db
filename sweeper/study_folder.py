"""The study's folder: its name, its definition and its trial directories."""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae.files import write_json_atomically
from sweeper.errors import SweepError

APP_NAME = "sae-sweep"
DEFINITION_FILE = "study.json"
STOP_FILE = "stop"


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


def unusable_folder(folder: Path, error: OSError) -> SweepError:
    """The line for an operating system's refusal to write below `folder`."""
    if error.errno == errno.ENOSPC:
        return SweepError(f"{folder} must have free disk space, but the disk is full.")
    return SweepError(
        f"{folder} must be a folder that can be written, but got: {error.strerror or error}."
    )


def settle_definition(folder: Path, definition: Mapping[str, Any]) -> None:
    """Writes what the study is made with, or holds it against what is there.

    New cells may join a study; a cell that is there must be asked for in the same way.

    Raises:
        SweepError: The study was made with other settings; the line names the first.
    """
    path = folder / DEFINITION_FILE
    if path.exists():
        known = _read_definition(path)
        _refuse_changes(folder.name, known, definition)
        definition = {**definition, "cells": {**known["cells"], **definition["cells"]}}
        if definition == known:
            return
    write_json_atomically(path, definition)


def _read_definition(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
        if not isinstance(known["cells"], dict):
            raise TypeError("cells is no table")
    except (ValueError, KeyError, TypeError) as error:
        raise SweepError(f"{path} must be a study's definition, but got: {error}.") from None
    return known


def _refuse_changes(name: str, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    before = _flatten({key: value for key, value in known.items() if key != "cells"})
    after = _flatten({key: value for key, value in asked.items() if key != "cells"})
    for cell in known["cells"].keys() & asked["cells"].keys():
        before |= _flatten(known["cells"][cell])
        after |= _flatten(asked["cells"][cell])
        differing = sorted(
            key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
        )
        if differing:
            key = differing[0]
            more = f" ({len(differing) - 1} more differ)" if len(differing) > 1 else ""
            raise SweepError(
                f"{key} must stay {before.get(key)} in study {name!r}, "
                f"but got {after.get(key)}{more}; choose another sweep.study_name."
            )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
