"""`sae-sweep`, or `python -m sweeper`."""

import os
import sys
from importlib.metadata import version

from sweeper.messages import end_interrupted

SPINS = "5000"
"""How often a thread of libgomp's looks for work before it sleeps. By default it spins for
milliseconds, which other processes then wait for, and it for them. On an idle machine it makes no
difference (measured: python -m benchmarks.busy)."""


def main() -> None:
    """Entry point; see `sweeper.app.main`. Ctrl-C ends it in one line, while it loads too."""
    try:
        _load_and_run()
    except KeyboardInterrupt as stop:
        end_interrupted(stop)


def _load_and_run() -> None:
    if sys.argv[1:] == ["--version"]:  # Hydra would answer with its own alone
        print(f"sae-sweep {version('sae-sweep')}, Hydra {version('hydra-core')}")
        return
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    # Imported when that is set: a run loads torch, and with it libgomp, which reads it once.
    from sweeper.app import main as run

    run()


if __name__ == "__main__":
    main()
