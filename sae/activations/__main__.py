"""`sae-activations`: extract, import, info, verify, downstream."""

import sys
from importlib.metadata import version

from sae.errors import SaeError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it, and as typer ends a command."""


def main() -> None:
    """Runs the command line.

    Bad input ends in one line on stderr and exit status 2, Ctrl-C in one and 130.
    """
    if sys.argv[1:] == ["--version"]:  # answered at once, as by sae-sweep
        print(f"sae-activations {version('sae-sweep')}")
        return
    try:
        _run()
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _run() -> None:
    from sae.activations.cli import app  # typer and torch: only when the command line runs

    try:
        app()
    except SaeError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            raise KeyboardInterrupt from None
        raise


if __name__ == "__main__":
    main()
