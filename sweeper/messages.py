"""Lines to the user that are no result: errors, warnings, interruptions."""

import signal
import sys
from typing import NoReturn

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT


def say(line: str) -> None:
    """Writes one line to standard error, with the command's name before it."""
    sys.stderr.write(f"sae-sweep: {line}\n")


def end_interrupted(stop: KeyboardInterrupt) -> NoReturn:
    """Says that the command was interrupted, with what `stop` has to add, and ends it."""
    say(f"interrupted. {stop}".rstrip())
    raise SystemExit(EXIT_INTERRUPTED) from None
