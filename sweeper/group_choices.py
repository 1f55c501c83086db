"""Configuration groups on a command line: `sae=topk` names an option of the group `sae`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString

from sweeper.errors import SweepError
from sweeper.keys import bare_key

NAMES = (str, QuotedString, list, dict)
"""What Hydra takes: a name, a list of names, or a table of values for the group's keys."""


def refuse_choices_without_a_name(arguments: Iterable[str], config_folder: Path) -> None:
    """Refuses `sae=null` and the like, which Hydra ends with an error that names no key.

    Args:
        arguments: The words of a command line.
        config_folder: Has a folder for each group.

    Raises:
        SweepError: A group is given a number, a truth value or null.
    """
    for argument in arguments:
        key, _, value = argument.partition("=")
        group = bare_key(key)
        is_group = "/" in group or (config_folder / group).is_dir()
        if not (is_group and value) or key.startswith("~"):
            continue
        if not all(isinstance(choice, NAMES) for choice in _choices(argument)):
            raise SweepError(f"{group} must be {_rule(config_folder / group)}, but got {value}.")


def _choices(argument: str) -> Sequence[Any]:
    value = OverridesParser.create().parse_override(argument).value()
    return value.list if isinstance(value, ChoiceSweep) else [value]


def _rule(folder: Path) -> str:
    options = sorted(path.stem for path in folder.glob("*.yaml"))
    return f"one of {', '.join(options)}" if options else "the name of an option"
