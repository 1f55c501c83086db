"""What a small run takes beside other busy processes, by how long its threads spin.

python -m benchmarks.busy --write

Whole commands of 600 steps at width 512, alone and beside as many processes that never rest as
there are cores, `GOMP_SPINCOUNT` set to libgomp's own default, to what `sae-sweep` sets, and to
none with one thread. The spread is of the rounds: luck decides how often threads wait for one
another.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.markdown import table, write_result
from sweeper.__main__ import SPINS
from sweeper.execution.devices import usable_cores

LIBGOMPS_OWN = "300000"
"""What libgomp takes where neither GOMP_SPINCOUNT nor OMP_WAIT_POLICY is set."""
ENVIRONMENTS = {
    "libgomp's own": {"GOMP_SPINCOUNT": LIBGOMPS_OWN},
    "sae-sweep's": {"GOMP_SPINCOUNT": SPINS},
    "one thread": {"GOMP_SPINCOUNT": SPINS, "OMP_NUM_THREADS": "1"},
}
COMMAND = (
    *(sys.executable, "-m", "sweeper", "activations=synthetic", "sae.latent_dim=512"),
    *("trainer.total_steps=600", "l1_alpha=1", "trainer.stop_early=false"),
)


def main() -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    taken = {name: _rounds(asked.rounds, given) for name, given in ENVIRONMENTS.items()}
    with _busy(usable_cores()):
        beside = {name: _rounds(asked.rounds, given) for name, given in ENVIRONMENTS.items()}
    rows = [(name, _spread(taken[name]), _spread(beside[name])) for name in ENVIRONMENTS]
    text = table(("threads spin", "alone, s", "beside busy processes, s"), rows)
    print(text)
    if asked.write:
        print(f"written to {write_result('busy', 'A run beside busy processes', text)}")
    return 0


@contextmanager
def _busy(count: int) -> Generator[None]:
    """As many processes that never rest."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _rounds(rounds: int, given: dict[str, str]) -> list[float]:
    return [_seconds(given) for _ in range(rounds)]


def _seconds(given: dict[str, str]) -> float:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), **given}
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        ended = subprocess.run(
            COMMAND, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        taken = time.perf_counter() - started
    if ended.returncode != 0:
        raise RuntimeError(ended.stderr)
    return taken


def _spread(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}"


if __name__ == "__main__":
    sys.exit(main())
