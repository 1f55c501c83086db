"""What an extraction has done so far, so that a killed one goes on where it was."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError

from sae.activations.manifest import parse_shard
from sae.activations.writer import LayerWriter
from sae.errors import SaeError
from sae.files import write_json_atomically

FOLDER = ".extraction.partial"
PROGRESS = "progress.json"


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far an extraction is, after its last complete shards."""

    windows: int = 0
    """Windows of chunks that are wholly in shards."""
    norm_limits: dict[str, float] = field(default_factory=dict)
    """Above which norm a module's tokens are dropped."""
    dropped: dict[str, int] = field(default_factory=dict)
    """How many were, of each module."""


class UnfinishedExtraction:
    """The folder that an extraction writes into until all of it is there."""

    def __init__(self, output: Path, recipe: Mapping[str, Any]) -> None:
        """Binds the folder below `output` to what decides the extraction, sites included."""
        self.folder = output / FOLDER
        self._recipe = dict(recipe)

    def resume(self, writers: Mapping[str, LayerWriter]) -> Progress:
        """Takes up what an earlier process left of the same extraction, else begins anew.

        Args:
            writers: One a module; they are given the shards that are there.
        """
        content = self._read()
        if content is not None:
            try:
                for module, writer in writers.items():
                    writer.restore([parse_shard(shard) for shard in content["shards"][module]])
                return Progress(**content["progress"])
            except (SaeError, OSError, SafetensorError, KeyError, TypeError, ValueError):
                # What is left cannot be used: doing it again is always right.
                for writer in writers.values():
                    writer.forget()
        shutil.rmtree(self.folder, ignore_errors=True)
        for writer in writers.values():
            writer.folder.mkdir(parents=True)
        return Progress()

    def save(self, progress: Progress, writers: Mapping[str, LayerWriter]) -> None:
        """Notes that everything handed to the writers is in shards.

        Raises:
            OSError: The folder cannot be written.
        """
        shards = {
            module: [asdict(shard) for shard in writer.shards]
            for module, writer in writers.items()
        }
        write_json_atomically(
            self.folder / PROGRESS,
            {"recipe": self._recipe, "progress": asdict(progress), "shards": shards},
        )

    def remove(self) -> None:
        """Deletes the folder and what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self) -> dict[str, Any] | None:
        try:
            content = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or content.get("recipe") != self._recipe:
            return None
        return cast("dict[str, Any]", content)
