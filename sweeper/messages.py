"""Lines to the user that are no result: errors, warnings, interruptions."""

import sys


def say(line: str) -> None:
    """Writes one line to standard error, with the command's name before it."""
    sys.stderr.write(f"sae-sweep: {line}\n")
