"""`sae-activations`: extract, import, info, verify, downstream."""

import sys

from sae.errors import SaeError


def main() -> None:
    """Runs the command line; bad input ends in one line on stderr and exit status 2."""
    from sae.activations.cli import app  # typer: only when the command line runs

    try:
        app()
    except SaeError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
