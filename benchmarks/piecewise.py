"""Long measurements in pieces: what is done is kept, and the run in progress goes on next time.

A benchmark is a list of runs, each with a key. Their rows are kept in `results/<name>.jsonl`,
which is evidence too; an unfinished run keeps its checkpoint in the cache.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.markdown import RESULTS
from sae.activations import ActivationStore
from sae.history import HistoryRow
from sae.stop_signal import StopSignal
from sae.training import TrainingRequest, TrainingState, train

CACHE = Path.home() / ".cache" / "sae-sweep" / "benchmarks"
UNFINISHED = 3
"""Exit status of a benchmark that has more to do."""


class OutOfTimeError(Exception):
    """The piece is over; what is done is kept."""


class Piecewise:
    """The rows of one benchmark, and the time that this piece of it has."""

    def __init__(self, name: str, minutes: float, kept_in: Path = RESULTS) -> None:
        """Reads the rows of earlier pieces.

        Args:
            name: Of the benchmark and its file.
            minutes: How long this piece may last, about.
            kept_in: Folder of the rows; the cache where they are too many to be evidence.
        """
        self.path = kept_in / f"{name}.jsonl"
        self.cache = CACHE / name
        self.end = time.monotonic() + 60 * minutes
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        self.rows: dict[str, dict[str, Any]] = {row["key"]: row for row in map(json.loads, lines)}

    def check_time(self) -> None:
        """Ends the piece where its time is up.

        Raises:
            OutOfTimeError: It is.
        """
        if self.is_over:
            raise OutOfTimeError

    @property
    def is_over(self) -> bool:
        """Whether this piece's time is up."""
        return time.monotonic() > self.end

    def add(self, key: str, row: Mapping[str, Any], quiet: bool = False) -> dict[str, Any]:
        """Keeps a row under its key, prints it unless `quiet`, and returns it with the key."""
        kept = {"key": key, **row}
        self.rows[key] = kept
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as stream:
            stream.write(json.dumps(kept) + "\n")
        if not quiet:
            print(json.dumps(kept), flush=True)
        return kept

    def train(self, key: str, request: TrainingRequest, store: ActivationStore) -> dict[str, Any]:
        """The result of a run: kept from an earlier piece, or trained as far as time allows.

        Raises:
            OutOfTimeError: The run has not ended; it goes on in the next piece.
        """
        if key in self.rows:
            return self.rows[key]
        self.check_time()
        stop = StopSignal()

        def on_log(_row: HistoryRow) -> None:
            if self.is_over:
                stop.request("the end of this piece")

        folder = self.cache / key.replace(" ", "_")
        result = train(request, store, folder, on_log, stop)
        if result.state is TrainingState.interrupted:
            raise OutOfTimeError
        shutil.rmtree(folder)
        return self.add(key, asdict(result) | {"state": result.state.value})
