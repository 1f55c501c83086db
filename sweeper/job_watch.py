"""What a job does with every row of its history: show it, report it to the study, perhaps stop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sae.checkpoint import Checkpoints
from sae.history import HistoryRow
from sweeper.pruning import PrunedError, Pruner
from sweeper.reporting import Reporter

OnLog = Callable[[HistoryRow], None]


class JobWatch:
    """Hands rows to all that watch a run; the pruner comes last, since it may raise."""

    def __init__(self, on_log: OnLog, reporter: Reporter | None, pruner: Pruner | None) -> None:
        self._listeners: list[OnLog] = [on_log]
        if reporter is not None:
            self._listeners.append(reporter)
        if pruner is not None:
            self._listeners.append(pruner)
        self._last: HistoryRow | None = None

    def __call__(self, row: HistoryRow) -> None:
        """Takes a row.

        Raises:
            PrunedError: The run shall end.
        """
        self._last = row
        for listen in self._listeners:
            listen(row)

    def pruned_facts(
        self, pruned: PrunedError, directory: Path, batch_size: int
    ) -> dict[str, Any]:
        """What the record of a pruned run holds; its checkpoints go."""
        Checkpoints(directory / "checkpoint", "").remove()
        if self._last is None:
            return pruned.facts
        return pruned.facts | {
            "steps_done": self._last.step,
            "tokens": self._last.step * batch_size,
            "wall_s": self._last.seconds,
        }
