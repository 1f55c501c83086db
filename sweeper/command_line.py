"""Words of a command line that Hydra would take for something else, or show."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from analysis.hydra_text import quoted
from sweeper.concealment import with_redacted_storage
from sweeper.errors import SweepError
from sweeper.keys import bare_key
from sweeper.settings import Settings

NAME = "sweep.study_name"
MODES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Flags that say what Hydra does, at most one of them."""


def flags_first(arguments: Sequence[str]) -> list[str]:
    """A command line as Hydra reads it: it takes no override after a flag after an override.

    Args:
        arguments: The words of a command line, in any order.

    Returns:
        The same words, but without a storage's password where the configuration is only shown.

    Raises:
        SweepError: One of the flags is none, or has a wrong value.
    """
    parser = get_args_parser()
    parser.error = _refuse_flags
    read = parser.parse_intermixed_args([*arguments])
    chosen = [f"--{name}" for name in MODES if getattr(read, name)]
    if len(chosen) > 1:
        _refuse_flags(f"{' and '.join(chosen)}, of which a command has one")
    overrides: list[str] = read.overrides
    flags = [word for word in arguments if word != "--"]
    for override in overrides:
        flags.remove(override)
    if read.help or read.cfg or read.info:
        overrides = with_redacted_storage(overrides)
    return [*flags, "--", *overrides]  # or the first would be a flag's value, as of --info


def _refuse_flags(message: str) -> NoReturn:
    raise SweepError(f"words with a dash must be Hydra's flags (--hydra-help), but got {message}.")


def refuse_what_is_taken_for_something_else(arguments: Iterable[str]) -> None:
    """Refuses a deleted key, whose default would be used, and a name that is read as a number.

    Args:
        arguments: The words of a command line.

    Raises:
        SweepError: One of them is such a word.
    """
    keys = {field.name for field in fields(Settings)}
    for argument in arguments:
        key = bare_key(argument.partition("=")[0])
        if argument.startswith("~") and key in keys:
            raise SweepError(f"{key} must have a value, but got {argument}, which deletes it.")
        if key == NAME:
            _refuse_another_text(argument)


def _refuse_another_text(argument: str) -> None:
    text = argument.partition("=")[2].strip()
    value = OverridesParser.create().parse_override(argument).value()
    if isinstance(value, int | float) and str(value) != text:
        raise SweepError(
            f'{NAME} must be in quotes ({NAME}="{quoted(text)}") where it reads as a number or a '
            f"truth value, but got {text}."
        )
