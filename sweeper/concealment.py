"""A storage's URL may hold a password: it is read once, and no configuration keeps it.

Hydra writes configurations and overrides beside every job, and launchers pickle them. So the URL
is taken out where a command begins; its jobs get it through the environment.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override

from analysis.hydra_text import quoted
from sae.files import write_atomically
from sweeper.composing import note_overrides
from sweeper.errors import SweepError
from sweeper.keys import bare_key

STORAGE_KEY = "sweep.storage"
HOS_STORAGE_KEY = "hydra.sweeper.storage"
STORAGE_KEYS = (STORAGE_KEY, HOS_STORAGE_KEY)


def without_storage(overrides: Sequence[str]) -> list[str]:
    """What jobs are told in place of a command line; a group could bring the URL back, hence null.

    Args:
        overrides: Of the command line.

    Raises:
        SweepError: The URL is in a table that another key is given, or is a list.
    """
    lines = [line for line in overrides if _holds(line, STORAGE_KEY)]
    for override in OverridesParser.create().parse_overrides(lines):
        key = bare_key(override.get_key_element())
        if key != STORAGE_KEY:
            raise SweepError(f"{STORAGE_KEY} must be given by itself, but is in a table of {key}.")
        if override.is_sweep_override():
            raise SweepError(
                f"{STORAGE_KEY} must be one URL, in quotes where it has a comma, but got a list."
            )
    return [*_kept(overrides), f"{STORAGE_KEY}=null"]


def with_redacted_storage(overrides: Sequence[str]) -> list[str]:
    """The overrides of a command that shows its configuration.

    Args:
        overrides: Of the command line.

    Raises:
        SweepError: As `without_storage`.
    """
    given = [line for line in overrides if bare_key(line.partition("=")[0]) == STORAGE_KEY]
    concealed = without_storage(overrides)
    if not given:
        return concealed
    url = OverridesParser.create().parse_override(given[-1]).value()
    if not isinstance(url, str):
        return concealed
    from sweeper.database import redacted  # loads SQLAlchemy

    return [*concealed[:-1], f"{STORAGE_KEY}={quoted(redacted(url))}"]


def conceal_storage(config: DictConfig) -> None:
    """Takes the URL out of a configuration and of what Hydra notes of the command line.

    Args:
        config: As Hydra composed it; changed in place.
    """
    with flag_override(config, "struct", False):
        for key in STORAGE_KEYS:
            clear(config, key)
        noted = config.hydra.overrides
        noted.hydra = _kept(noted.hydra)
        note_overrides(config, OverridesParser.create().parse_overrides(_kept(noted.task)))


def conceal_in_files(folder: Path) -> None:
    """Takes the URL out of what Hydra wrote of a single run.

    Args:
        folder: The run's `.hydra`.
    """
    own, hydra, overrides = (folder / f"{name}.yaml" for name in ("config", "hydra", "overrides"))
    if not own.exists():
        return
    config = cast("DictConfig", OmegaConf.merge(OmegaConf.load(own), OmegaConf.load(hydra)))
    conceal_storage(config)
    _write(hydra, OmegaConf.masked_copy(config, "hydra"))
    _write(overrides, config.hydra.overrides.task)
    del config["hydra"]
    _write(own, config)


def _write(path: Path, content: DictConfig | ListConfig) -> None:
    write_atomically(path, OmegaConf.to_yaml(content).encode())


def clear(config: DictConfig, key: str) -> None:
    """Sets a key to null where the configuration has it."""
    *parents, name = key.split(".")
    node = config
    for parent in parents:
        if parent not in node:
            return
        node = node[parent]
    if name in node:
        node[name] = None


def _kept(overrides: Iterable[str]) -> list[str]:
    return [line for line in overrides if not any(_holds(line, key) for key in STORAGE_KEYS)]


def _holds(line: str, key: str) -> bool:
    """Whether an override sets the key, by itself or in a table."""
    parent, _, name = key.rpartition(".")
    value = line.partition("=")[2].lstrip()
    in_table = value.startswith("{") and name in value
    given = _key_of(line)
    return given == key or (in_table and f"{parent}.".startswith(f"{given}."))


def _key_of(line: str) -> str:
    return bare_key(line.partition("=")[0])
