"""Sends the rows of history.csv to an experiment tracker as well.

history.csv is always written; a tracker is a second reader. One that cannot be opened is refused
before the run begins; one that fails later gets no more rows, and the run goes on.
"""

import json
import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from sae.errors import SaeError
from sae.files import write_json_atomically
from sae.history import HistoryRow

LOG = logging.getLogger(__name__)

TRACKER_FILE = "tracker.json"
"""In the run's folder: what the tracker calls the run, so that a resumed one goes on there."""


class Tracker(StrEnum):
    """The trackers that can be asked for."""

    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


class HistorySink(Protocol):
    """Where rows go."""

    def write(self, row: HistoryRow) -> None:
        """Takes one row."""
        ...

    def close(self, *, is_complete: bool) -> None:
        """Hands over what is buffered; nothing is written afterwards.

        Args:
            is_complete: Whether the run came to its end.
        """
        ...


def open_sink(
    tracker: Tracker, directory: Path, settings: Mapping[str, Any], step: int = 0
) -> HistorySink:
    """The sink of that name for one run; of a run that is resumed, the one that it had.

    Args:
        tracker: Which.
        directory: The run's folder; local files go there, and its name names the run.
        settings: The run's configuration, recorded where the tracker has a place for it.
        step: Steps that earlier processes have done.

    Raises:
        SaeError: The library is not installed, or the tracker cannot be opened.
    """
    if tracker is Tracker.none:
        return _NoSink()
    # Imported here: its sinks know their libraries, and nothing else needs them.
    from sae.tracker_sinks import SINKS, TrackedRun

    file = directory / TRACKER_FILE
    known = json.loads(file.read_text()) if step and file.exists() else {}
    run = TrackedRun(
        directory=directory, settings=settings, step=step, tracker_id=known.get(tracker.value)
    )
    try:
        sink = SINKS[tracker](run)
    except ImportError as error:
        raise SaeError(
            f"trainer.tracker={tracker} must have its library installed "
            f"(pip install 'sae-sweep[trackers]'), but got: {error}."
        ) from error
    except Exception as error:  # whatever the library raises: no account, no server
        raise SaeError(
            f"trainer.tracker={tracker} must open a run, but got: {_one_line(error)}"
        ) from error
    write_json_atomically(file, {tracker.value: sink.tracker_id})
    return _SecondReader(tracker, sink)


class _NoSink:
    def write(self, row: HistoryRow) -> None:
        del row

    def close(self, *, is_complete: bool) -> None:
        del is_complete


class _SecondReader:
    """A tracker's sink, whose failures do not end the run: history.csv has the rows."""

    def __init__(self, tracker: Tracker, sink: HistorySink) -> None:
        self._tracker = tracker
        self._sink = sink
        self._has_failed = False

    def write(self, row: HistoryRow) -> None:
        if not self._has_failed:
            self._try(lambda: self._sink.write(row))

    def close(self, *, is_complete: bool) -> None:
        self._try(lambda: self._sink.close(is_complete=is_complete))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  (whatever the library raises is reported)
            if not self._has_failed:
                LOG.warning(
                    "trainer.tracker=%s gets no more rows, history.csv has them: %s",
                    self._tracker,
                    _one_line(error),
                )
            self._has_failed = True


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
