"""Words of a command line that Hydra would take in silence for something else."""

from collections.abc import Iterable
from dataclasses import fields

from hydra.core.override_parser.overrides_parser import OverridesParser

from sweeper.errors import SweepError
from sweeper.keys import bare_key, quoted
from sweeper.settings import Settings

NAME = "sweep.study_name"


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
