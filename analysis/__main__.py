"""`python -m analysis` and the console script `sae-analysis`."""

import sys

from analysis.cli import run


def main() -> int:
    """Runs the process's command line and returns its exit status."""
    return run()


if __name__ == "__main__":
    sys.exit(main())
