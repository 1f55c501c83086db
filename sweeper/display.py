"""What a sweep shows while it runs: a live table on a terminal, plain lines in a pipe."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from analysis.records import State, VerdictLevel
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.live_table import live_table, shown_alpha
from sweeper.stopped import has_checkpoint

REFRESHES_PER_SECOND = 2


class Display:
    """Shows trials as they start and end.

    Args:
        console: Where to; its `is_terminal` chooses between the table and the lines.
        cells: All cells of the sweep.
        trials: What the study knows already.
    """

    def __init__(
        self, console: Console, cells: Sequence[Cell], trials: Sequence[BookedTrial]
    ) -> None:
        self._console = console
        self._cells = cells
        self._trials = {trial.number: trial for trial in trials}
        self._running: dict[int, tuple[BookedTrial, Cell, Path]] = {}
        self._waits_for: list[int] = []

    def showing(self) -> AbstractContextManager[object]:
        """While the block runs, the table is kept up to date (on a terminal)."""
        if not self._console.is_terminal:
            return nullcontext()
        return Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )

    def trial_started(self, trial: BookedTrial, cell: Cell, directory: Path) -> None:
        """A trial begins, or goes on."""
        self._running[trial.number] = (trial, cell, directory)
        predicted = trial.predicted.get("predicted_l0")
        alpha = shown_alpha(cell, trial.l1_alpha)
        expected = "" if predicted is None else f", L0 {predicted:.4g} expected"
        if not self._console.is_terminal:  # the table shows what is running
            self._line(
                f"trial {trial.number} starts: {cell.name}{params_words(trial)}"
                f"{alpha and f', alpha {alpha}'}{expected}"
            )

    def trial_ended(self, trial: BookedTrial, cell: Cell, record: Mapping[str, Any]) -> None:
        """A trial has its record."""
        self._running.pop(trial.number, None)
        self._trials[trial.number] = trial.told(record)
        self._line(f"trial {trial.number} ends:   {cell.name}, {outcome_words(record, cell)}")
        weights = trial.predicted.get("prior_weights")
        if weights and len(weights) > 1:
            listed = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
            self._line(f"  weights of the prior: {listed}")

    def trial_lost(self, trial: BookedTrial, reason: str) -> None:
        """A trial's process is gone; the trial will be started again."""
        _, _, directory = self._running.pop(trial.number)
        how = "goes on from its last checkpoint" if has_checkpoint(directory) else "starts again"
        self._line(f"trial {trial.number} {how}: {reason}")

    def waits_for(self, trials: Sequence[BookedTrial]) -> None:
        """Nothing runs here, since these of other commands may be all that is needed."""
        numbers = [trial.number for trial in trials]
        if numbers != self._waits_for:
            self._waits_for = numbers
            listed = ", ".join(map(str, numbers))
            self._line(f"waits for what other commands train: trial {listed}")

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)

    def _render(self) -> Group:
        return live_table(self._cells, self._trials, list(self._running.values()))


def params_words(trial: BookedTrial) -> str:
    """The searched keys of a trial, each after a comma; empty where alpha alone is searched."""
    return "".join(
        f", {key}={value:.4g}" if isinstance(value, float) else f", {key}={value}"
        for key, value in trial.params.items()
    )


def outcome_words(record: Mapping[str, Any], cell: Cell) -> str:
    """What came of a trial, in a few words.

    Args:
        record: The trial's record.
        cell: The cell that proposed it.
    """
    if record["state"] != State.complete:
        reasons = record.get("verdict_reasons") or [record.get("stop_reason") or "no reason known"]
        return f"{record['state']}: {'; '.join(str(reason) for reason in reasons)}"
    target = cell.target_count
    off = record["l0"] / target - 1
    where = "in band" if record["in_band"] else "too dense" if off > 0 else "too sparse"
    bad = record["verdict"] == VerdictLevel.failure and record["in_band"]
    return (
        f"L0 {record['l0']:.4g} for {target:.4g} ({off:+.1%}, {where}), "
        f"fvu {record['fvu']:.3f}, {record['wall_s']:.1f} s"
        + (f"; {record['verdict_reasons'][0]}" if bad else "")
    )
