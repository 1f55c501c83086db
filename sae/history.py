"""history.csv: what a run saw, written while it trains."""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

HISTORY_FILE = "history.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """One line of history.csv; loss to fvu are means over the steps since the line before."""

    step: int
    """Steps done."""
    learning_rate: float
    """Of the last step."""
    alpha: float
    """Of the last step, canonical units."""
    loss: float
    """mse + alpha * penalty, canonical units, as the record's; what trains beside it (gated's
    reconstruction by its gate, AuxK) is left out."""
    mse: float
    """Squared error summed over d_in, mean per token."""
    l1: float
    """sum_i f_i ||W_dec,i||, mean per token."""
    l0: float
    """Latents above zero, mean per token."""
    fvu: float
    """mse / d_in, since canonical activations have variance d_in."""
    dead_fraction_window: float
    """Part of the latents that fired on none of the last `dead_window` tokens."""
    seconds: float
    """Training time so far, earlier attempts included."""
    resampled: int = 0
    """Dead latents replaced so far (`trainer.dead_latents.resampling`)."""


class HistoryFile:
    """Appends rows to history.csv; a resumed run first drops the rows after its checkpoint.

    The file is opened for every row, so that a full disk leaves nothing half-open behind.
    """

    def __init__(self, path: Path, steps_done: int) -> None:
        """Starts the file, keeping the rows of the first `steps_done` steps."""
        self._path = path
        self._names = [field.name for field in fields(HistoryRow)]
        kept = _rows_until(path, steps_done)
        with path.open("w", newline="") as stream:
            writer = self._writer(stream)
            writer.writeheader()
            writer.writerows(kept)

    def append(self, row: HistoryRow) -> None:
        """Writes one row and hands it to the operating system."""
        with self._path.open("a", newline="") as stream:
            self._writer(stream).writerow(asdict(row))

    def _writer(self, stream: TextIO) -> "csv.DictWriter[str]":
        return csv.DictWriter(stream, self._names, lineterminator="\n")


def _rows_until(path: Path, steps_done: int) -> list[dict[str, str]]:
    if steps_done == 0 or not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    # A crash may have left half a line at the end.
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [row for row in rows if int(row["step"]) <= steps_done]


def read_history(path: Path) -> list[HistoryRow]:
    """The whole rows of a history, a torn last line left out; none where there is no file."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [_row(values) for values in rows]


def last_step(path: Path) -> int:
    """The step of a history's last whole row; 0 where there is none."""
    rows = read_history(path)
    return rows[-1].step if rows else 0


def _row(values: Mapping[str, str]) -> HistoryRow:
    names = [field.name for field in fields(HistoryRow) if field.name not in _WHOLE]
    numbers = {name: float(values[name]) for name in names}
    # Histories of earlier versions do not count what was replaced.
    resampled = int(values.get("resampled") or 0)
    return HistoryRow(step=int(values["step"]), resampled=resampled, **numbers)


_WHOLE = ("step", "resampled")
