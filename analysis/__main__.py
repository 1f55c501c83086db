"""`python -m analysis` and the console script `sae-analysis`."""

import sys
from importlib.metadata import version

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main() -> int:
    """Runs the process's command line and returns its exit status; Ctrl-C ends it in one line."""
    if sys.argv[1:] == ["--version"]:  # answered at once, as by sae-sweep
        print(f"sae-analysis {version('sae-sweep')}")
        return 0
    try:
        from analysis.cli import run  # within, since a moment passes until it is there

        return run()
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
