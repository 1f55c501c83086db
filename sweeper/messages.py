"""Lines to the user that are no result: errors, warnings, interruptions."""

import os
import signal
import sys
from typing import NoReturn

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT


def say(line: str) -> None:
    """Writes one line to standard error, with the command's name before it; to nobody, if so."""
    try:
        sys.stderr.write(f"sae-sweep: {line}\n")
    except BrokenPipeError:
        _say_no_more()


def _say_no_more() -> None:
    """Python flushes what was not written once more at the end, and would give its own status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)


def output_failure() -> OSError | None:
    """What keeps standard output from being written; None where nothing does.

    What is left of the output is then given up, or Python would try once more at the end, and
    end with a status of its own.
    """
    try:
        sys.stdout.write("\n")  # an output without a buffer keeps nothing that a flush would try
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def end_interrupted(stop: KeyboardInterrupt) -> NoReturn:
    """Says that the command was interrupted, with what `stop` has to add, and ends it."""
    say(f"interrupted. {stop}".rstrip())
    raise SystemExit(EXIT_INTERRUPTED) from None
