"""Asking a run to stop at its next step instead of killing it; a second Ctrl-C does not wait."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

CAUGHT = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR2") if hasattr(signal, name)
)
"""Termination, Ctrl-C, and the notice that Slurm sends before a time limit."""


class NotingHandler:
    """A signal handler that only takes note, so that one inside it may pass a signal on.

    Args:
        note: Told a signal's number.
    """

    def __init__(self, note: Callable[[int], None]) -> None:
        self._note = note

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Takes note of a signal."""
        self._note(number)


class StopSignal:
    """A flag that the training loop reads at every step.

    Attributes:
        requested: Whether the run shall stop; set it, or let `on_signals` set it.
        reason: What asked for it, such as "SIGTERM".
    """

    def __init__(self) -> None:
        self.requested = False
        self.reason = ""

    def request(self, reason: str) -> None:
        """Asks the run to write a checkpoint and stop."""
        self.reason = reason
        self.requested = True

    @contextmanager
    def on_signals(self) -> Generator["StopSignal"]:
        """Within the block, the signals in `CAUGHT` set this flag, in the main thread.

        A Ctrl-C that follows any of them stops at once, without a checkpoint: the run goes on
        from the last one, since files appear whole or not at all.

        The first signal reaches a `NotingHandler` that was there too, such as a sweep's, which
        then starts no other run: this one may end by itself before it reads the flag. It reaches
        no other handler: submitit's ends the job before there is a checkpoint.

        Raises:
            KeyboardInterrupt: The second signal was a Ctrl-C.
        """
        previous = {number: signal.getsignal(number) for number in CAUGHT}

        def note(number: int) -> None:
            if self.requested and number == signal.SIGINT:
                raise KeyboardInterrupt
            is_first = not self.requested
            self.request(signal.Signals(number).name)
            before = previous[number]
            if is_first and isinstance(before, NotingHandler):
                before(number, None)

        if threading.current_thread() is not threading.main_thread():
            yield self  # signals reach the main thread only
            return
        for number in CAUGHT:
            signal.signal(number, NotingHandler(note))
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
