"""How long a run took, without the time in which others had the processor."""

import time


class Stopwatch:
    """Runs from the start until it is paused."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._since = time.monotonic()
        self._runs = True

    def seconds(self) -> float:
        """Time spent so far."""
        return self._spent + (time.monotonic() - self._since if self._runs else 0.0)

    def pause(self) -> None:
        """Counts no longer."""
        self._spent, self._runs = self.seconds(), False

    def go_on(self) -> None:
        """Counts again."""
        self._since, self._runs = time.monotonic(), True

    def add(self, seconds: float) -> None:
        """Counts time that was spent elsewhere, such as by an earlier process."""
        self._spent += seconds
