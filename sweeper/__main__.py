"""`sae-sweep`, or `python -m sweeper`."""

import os

SPINS = "5000"
"""How often a thread of libgomp's looks for work before it sleeps. By default it spins for
milliseconds, which other processes then wait for, and it for them: with as many busy processes as
cores beside it a run of 600 steps at width 512 took 8 to 62 s so, 7 s like this, and the same 4 s
on an idle machine (measured with GOMP_SPINCOUNT set and not)."""


def main() -> None:
    """Entry point; see `sweeper.app.main`."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    # Imported here since it loads torch, and with it libgomp, which reads the variable once.
    from sweeper.app import main as run

    run()


if __name__ == "__main__":
    main()
