"""A signal asks the study's jobs to write checkpoints and stop; Ctrl-C after it stops now."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

from sae.stop_signal import CAUGHT, NotingHandler


class Interruption:
    """What was asked of this process by signals.

    Attributes:
        reason: The first signal's name; empty while there was none.
    """

    def __init__(self) -> None:
        self.reason = ""

    @contextmanager
    def on_signals(self) -> Generator["Interruption"]:
        """Within the block the first signal is noted, and a Ctrl-C that follows it raises.

        Raises:
            KeyboardInterrupt: The second signal was a Ctrl-C.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self  # signals reach the main thread only
            return
        previous = {number: signal.signal(number, NotingHandler(self._note)) for number in CAUGHT}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _note(self, number: int) -> None:
        if not self.reason:
            self.reason = signal.Signals(number).name
        elif number == signal.SIGINT:  # `timeout` sends SIGTERM to its child and to the group
            raise KeyboardInterrupt("Running trials were not waited for.")
