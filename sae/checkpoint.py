"""Checkpoints that let a killed run end with the same bytes as an undisturbed one.

A checkpoint is one safetensors file, so it is there whole or not at all: the run's tensors, and
in its metadata what it belongs to. The data's position is the step itself, since a batch depends
only on seed and step.
"""

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sae.errors import SaeError
from sae.files import write_atomically

LOG = logging.getLogger(__name__)

KEPT = 2
FORMAT = 1
METADATA_KEY = "checkpoint"


class DamagedCheckpointError(SaeError):
    """A checkpoint's file that cannot be read."""


class Checkpoints:
    """The checkpoints of one run in one folder."""

    def __init__(
        self, folder: Path, identity: str, content: Mapping[str, Any] | None = None
    ) -> None:
        """Binds the folder to a run.

        Args:
            folder: Made when the first checkpoint is written.
            identity: Hash of what determines the run; another run's checkpoint is refused.
            content: What it is the hash of, plain JSON, so that a refusal can name what differs.
        """
        self.folder = folder
        self.identity = identity
        self.content = content

    @property
    def exist(self) -> bool:
        """Whether there is one to go on from."""
        return bool(self._files())

    def save(self, step: int, seconds: float, tensors: Mapping[str, Tensor]) -> None:
        """Writes the state after `step` steps, then drops all but the last two."""
        self.folder.mkdir(parents=True, exist_ok=True)
        facts: dict[str, Any] = {
            "format": FORMAT,
            "identity": self.identity,
            "step": step,
            "seconds": seconds,
        }
        if self.content is not None:
            facts["content"] = self.content
        state = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        data = save(state, metadata={METADATA_KEY: json.dumps(facts, allow_nan=False)})
        write_atomically(self.folder / f"step_{step:09d}.safetensors", data)
        for outdated in self._files()[:-KEPT]:
            outdated.unlink()

    def restore(
        self, tensors: Mapping[str, Tensor], optional: Collection[str] = ()
    ) -> tuple[int, float]:
        """Copies the newest checkpoint that can be read into the run's own tensors.

        Damaged ones after it are deleted, and so is what a killed process left half written.

        Args:
            tensors: The run's.
            optional: Names that not every device's checkpoints have; such a tensor stays as it is
                where it is wanted and absent.

        Returns:
            Steps done and seconds spent; zeros where there is no checkpoint.

        Raises:
            SaeError: The checkpoint is of another run, truncated or foreign.
        """
        files, restored = self._files(), (0, 0.0)
        useless = self._unfinished()
        while files:
            newest = files.pop()
            try:
                restored = self._read(newest, tensors, optional)
                break
            except DamagedCheckpointError as error:
                if not files:  # kept, since the disk may give them back
                    raise DamagedCheckpointError(
                        f"{error} No older one is left; delete {self.folder} to begin at the "
                        "first step."
                    ) from error
                LOG.warning("%s The one before it is taken.", error)
                useless.append(newest)
        for path in useless:
            path.unlink()
        return restored

    def _read(
        self, path: Path, tensors: Mapping[str, Tensor], optional: Collection[str]
    ) -> tuple[int, float]:
        try:
            with safe_open(path, framework="pt") as stream:
                facts = _facts(path, stream.metadata())
                self._check_identity(path, facts)
                found = set(stream.keys())
                _check_names(path, found - set(optional), set(tensors) - set(optional))
                for name in tensors.keys() & found:
                    _copy(path, name, stream.get_tensor(name), tensors[name])
        except (SafetensorError, OSError) as error:
            raise DamagedCheckpointError(
                f"{path} must be a whole checkpoint, but got: {error}."
            ) from error
        return facts["step"], facts["seconds"]

    def remove(self) -> None:
        """Deletes the checkpoints and their folder, if nothing else is in it."""
        for path in [*self._files(), *self._unfinished()]:
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return sorted(
            path
            for path in self.folder.glob("step_*.safetensors")
            if re.fullmatch(r"step_\d{9}\.safetensors", path.name)
        )

    def _unfinished(self) -> list[Path]:
        """What processes left that were killed while writing."""
        return list(self.folder.glob(".step_*.tmp"))

    def _check_identity(self, path: Path, facts: Mapping[str, Any]) -> None:
        if facts["identity"] == self.identity:
            return
        wanted, found = self.identity[:12], str(facts["identity"])[:12]
        # Checkpoints of earlier versions hold no content.
        for key, there, here in _differences(facts.get("content"), self.content):
            wanted, found = f"{key}={here}", f"{key}={there}"
            break
        raise SaeError(
            f"{path} must be of this configuration, data and seed ({wanted}), "
            f"but got one of another ({found})."
        )


def _facts(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        facts = json.loads((metadata or {}).get(METADATA_KEY, "null"))
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise SaeError(f"{path} must be a checkpoint of a training run, but got another file.")
    return facts


def _differences(
    there: object, here: object, key: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Dotted keys in which two runs differ, with both values; none where one is not known.

    Args:
        there: What a checkpoint's run is determined by, or a part of it.
        here: The same of the run that is to go on.
        key: Of that part.
    """
    if isinstance(there, dict) and isinstance(here, dict):
        there_table, here_table = cast("dict[str, Any]", there), cast("dict[str, Any]", here)
        for name in here_table | there_table:
            dotted = f"{key}.{name}" if key else name
            yield from _differences(there_table.get(name), here_table.get(name), dotted)
    elif key and there != here:
        yield key, there, here


def _check_names(path: Path, found: set[str], wanted: set[str]) -> None:
    if found != wanted:
        difference = ", ".join(sorted(found ^ wanted))
        raise SaeError(f"{path} must hold this run's tensors, but differs in {difference}.")


def _copy(path: Path, name: str, value: Tensor, target: Tensor) -> None:
    if value.shape != target.shape or value.dtype != target.dtype:
        raise SaeError(
            f"{path}: {name} must be {target.dtype} {tuple(target.shape)}, "
            f"but got {value.dtype} {tuple(value.shape)}."
        )
    target.copy_(value)
