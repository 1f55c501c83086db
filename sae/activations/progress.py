"""One line on a terminal that says how far a long job is."""

import sys
import time
from types import TracebackType
from typing import Self


class ProgressLine:
    """Rewrites a line on stderr; silent where stderr is not a terminal."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._done = 0
        self._started = time.monotonic()
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def advance(self, count: int) -> None:
        """Adds to what is done, and shows it."""
        self._done += count
        if self._shown:
            rate = self._done / max(time.monotonic() - self._started, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            sys.stderr.write(
                f"\r\033[K{self._done:,} of {self._total:,} {self._unit}, "
                f"{rate:,.0f}/s, {left:,.0f} s left"
            )
            sys.stderr.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
