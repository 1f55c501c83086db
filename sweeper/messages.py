"""Lines to the user that are no result: errors, warnings, interruptions."""

import os
import signal
import sys
from typing import NoReturn, TextIO

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT


def say(line: str) -> None:
    """Writes one line to standard error, with the command's name before it; to nobody, if so."""
    try:
        sys.stderr.write(f"sae-sweep: {line}\n")
    except BrokenPipeError:
        _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Python flushes what was not written once more at the end, and would give its own status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def output_failure() -> OSError | None:
    """What keeps standard output from being written, which is then given up; None: nothing."""
    try:
        sys.stdout.write("\n")  # an output without a buffer keeps nothing that a flush would try
        sys.stdout.flush()
    except OSError as error:
        _give_up(sys.stdout)
        return error
    return None


def end_interrupted(stop: KeyboardInterrupt) -> NoReturn:
    """Says that the command was interrupted, with what `stop` has to add, and ends it."""
    say(f"interrupted. {stop}".rstrip())
    raise SystemExit(EXIT_INTERRUPTED) from None
