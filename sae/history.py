"""history.csv: what a run saw, written while it trains."""

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self


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
    """mse + alpha * penalty, canonical units."""
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


class HistoryFile:
    """Appends rows to history.csv; a resumed run first drops the rows after its checkpoint."""

    def __init__(self, path: Path, steps_done: int) -> None:
        """Opens the file, keeping the rows of the first `steps_done` steps."""
        names = [field.name for field in fields(HistoryRow)]
        kept = _rows_until(path, steps_done)
        self._stream = path.open("w", newline="")
        self._writer = csv.DictWriter(self._stream, names, lineterminator="\n")
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._stream.flush()

    def append(self, row: HistoryRow) -> None:
        """Writes one row and hands it to the operating system."""
        self._writer.writerow(asdict(row))
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()


def _rows_until(path: Path, steps_done: int) -> list[dict[str, str]]:
    if steps_done == 0 or not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    # A crash may have left half a line at the end.
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [row for row in rows if int(row["step"]) <= steps_done]
