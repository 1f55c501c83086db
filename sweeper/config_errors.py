"""Hydra's and OmegaConf's errors as one line that names the key, the rule and the value."""

import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.errors import MissingConfigException, OverrideParseException

from analysis.sources import redacted
from sweeper.keys import unknown_key
from sweeper.settings import FREE_TABLES, known_keys
from sweeper.space import PARAMS_KEY

_OVERRIDE_FAILED = re.compile(r"Could not override '(?P<key>.+?)'(?:.*\n.* use (?P<added>\+.*))?")
_IS_THERE = re.compile(r"An item is already at '(.+?)'|Multiple values for (\S+?)\. To override")
_NO_GROUP = re.compile(r"Could not override '(?P<key>.+?)'\.\nNo match in the defaults list")
_MERGE_FAILED = re.compile(r"Error merging override (?P<key>[^=\s]+)(?:=(?P<value>.*))?")
_NOT_IN_SCHEMA = re.compile(r"Key '[^']+' not in '[^']+'\n\s+full_key: (?P<full>\S+)")
_NO_OPTION = re.compile(r"(?:In '.*': )?Could not find '(?:(?P<group>.+)/)?(?P<option>[^/']+)'")
_SWEPT_KEY = re.compile(r"Key '(?P<key>[^']+)' is not in struct\n\s+full_key: (?P<full>\S+)")
_OF_STORAGE = re.compile(r"(?P<key>[\w.]*\bstorage)(?:['\"]?\s*[=:]|$)")
"""Named with its value, which may hold a password, or as the key where an error was."""

LAUNCHER_EXTRAS = {
    "joblib": "joblib",
    "submitit_local": "slurm",
    "submitit_slurm": "slurm",
    "ray": "ray",
}
"""The extra of this package that brings a launcher of Hydra's."""


def describe(error: Exception) -> str:
    """One line for a user who mistyped an override or a configuration file.

    Args:
        error: What Hydra or OmegaConf raised while composing.
    """
    text = error.override if isinstance(error, OverrideParseException) else str(error)
    text = text or str(error.__cause__ or "")  # some of Hydra's errors have no words of their own
    if match := _OF_STORAGE.search(text):
        return (
            f"{match['key']} must be null or one URL, in quotes ({match['key']}=\"'...'\") where "
            "it has = ? & or a comma, but got what is not shown, since it may hold a password."
        )
    if isinstance(error, OverrideParseException):
        key, _, value = text.partition("=")
        return (
            f"{key} must be a value of Hydra's grammar, in quotes ({key}=\"'...'\") where it has "
            f"signs of that grammar, but got {redacted(value)}."
        )
    if match := _MERGE_FAILED.search(text):
        return _not_merged(match, str(error.__cause__ or ""))
    if match := _SWEPT_KEY.search(text) or _NOT_IN_SCHEMA.search(text):
        return unknown_key(match["full"], known_keys())
    if match := _IS_THERE.search(text):
        key = match[1] or match[2]
        return f"{key} must be given without a + before it, since it is there, but got '+{key}'."
    if match := _NO_GROUP.search(text) or _OVERRIDE_FAILED.search(text):
        return _not_overridden(match, str(error.__cause__ or ""))
    if isinstance(error, MissingConfigException) and (match := _NO_OPTION.search(text)):
        options = ", ".join(error.options or ())
        if match["group"] == "hydra/launcher" and match["option"] in LAUNCHER_EXTRAS:
            extra = LAUNCHER_EXTRAS[match["option"]]
            return (
                f"hydra/launcher must be one that is installed, but got {match['option']!r}; "
                f"pip install 'sae-sweep[{extra}]' brings it."
            )
        return f"{match['group']} must be one of {options}, but got {match['option']!r}."
    return redacted(" ".join(text.split()))


def describe_file(error: yaml.YAMLError | UnicodeDecodeError) -> str | None:
    """One line for a configuration file that cannot be read; None for an error of another place.

    Args:
        error: What was raised while Hydra composed.
    """
    frames = traceback.walk_tb(error.__traceback__)
    reading = FileConfigSource.load_config.__code__
    # Equal, not the same: Hydra loads the module of its plugin a second time.
    files = [frame.f_locals["full_path"] for frame, _ in frames if frame.f_code == reading]
    if not files:
        return None
    line, reason = _flaw(error, Path(files[-1]).read_bytes())
    return f"{files[-1]} must be YAML in UTF-8, but got an error in line {line}: {reason}."


def _flaw(error: yaml.YAMLError | UnicodeDecodeError, content: bytes) -> tuple[int, str]:
    """The number of the line that is wrong, and what is wrong with it."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        reason = str(error.problem)
        if error.context and error.context_mark:
            reason += f" ({error.context} from line {error.context_mark.line + 1})"
        return error.problem_mark.line + 1, reason
    try:
        text = content.decode()
    except UnicodeDecodeError as place:
        return content.count(b"\n", 0, place.start) + 1, f"{place.reason} of UTF-8"
    position = error.position if isinstance(error, yaml.reader.ReaderError) else len(text)
    return text.count("\n", 0, position) + 1, str(error).partition("\n")[0]


def _not_merged(match: re.Match[str], cause: str) -> str:
    """The line for a value that its key does not take, or a key that cannot be deleted."""
    key, value = match["key"], match["value"]
    if key.startswith("~"):
        return f"{key[1:]} must have a value, but got {key}, which deletes it."
    reason = cause.split("\n")[0] or "it does not fit"
    return f"{key} must fit its type, but got {value!r}: {reason}."


def _not_overridden(match: re.Match[str], cause: str) -> str:
    """The line for a key that is not there, or for a table that has not all the keys it is given.

    Args:
        match: Names the key that was given.
        cause: What OmegaConf said, with the key that is missing.
    """
    missing = _SWEPT_KEY.search(cause) or _NOT_IN_SCHEMA.search(cause)
    key = match["key"] if missing is None else missing["full"]
    added = match.groupdict().get("added")
    if added and key.startswith((*FREE_TABLES, f"{PARAMS_KEY}.")):
        return (
            f"{match['key']} must have a + before it where it adds keys ({added}), "
            f"but got {added.lstrip('+')}."
        )
    return unknown_key(key, known_keys())


def unknown_keys(keys: Iterable[str]) -> Iterator[str]:
    """A line for every swept key that does not exist.

    Hydra composes swept keys only when a job starts; a misspelt one is to be told before.
    """
    known = known_keys()
    return (unknown_key(key, known) for key in keys if key.lstrip("+") not in known)
