"""The same study on every launcher, one of its workers killed: what is lost, and is it made good?

python -m benchmarks.launchers --write
python -m benchmarks.launchers --launchers joblib ray

Two slots train two trials, the worker of the second gets SIGKILL, and the study of three trials
goes on to its end. Ray is a real cluster of two nodes with one core each, Slurm whatever answers
here (docs/launchers/slurm.md says how to have one node). A trial is lost where it needed a second
attempt. Exit status 1 where more trials are lost than a launcher may lose (joblib's workers are
one pool: two; the others: one), or a trial is not complete in the end.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from analysis import load_trials
from benchmarks.markdown import table, write_result
from benchmarks.ray_cluster import two_node_cluster
from sweeper.execution.lease import current_owner

MOST_LOST = {"joblib": 2, "submitit_local": 1, "submitit_slurm": 1, "ray": 1}
"""Trials that one killed worker may cost."""
TRIALS, VICTIM = 3, 1
PATIENCE = 300.0
"""Seconds in which both slots must train, and in which the study must then end."""

TRAINER = """
import time
from pathlib import Path

def train(config):
    step = 1
    config.report(step=step, l0=6.0)
    while not Path(PLACE, "go").exists():
        time.sleep(0.02)
        step += 1
        config.report(step=step, l0=6.0)
    return {"l0": 6.0, "fvu": 0.1}
"""
"""Trains until it is let go, and reports once at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a study whose worker was killed."""

    launcher: str
    trials: int
    complete: int
    lost: int
    """Trials that needed a second attempt, the victim among them."""
    victim_went_on: bool
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether no more was lost than may be, and all of it was made good."""
        return (
            self.victim_went_on
            and self.trials == self.complete == TRIALS
            and self.lost <= MOST_LOST[self.launcher]
        )


def run(launcher: str, folder: Path, *further: str) -> Outcome:
    """Runs the study with a launcher, and kills one of its workers.

    Args:
        launcher: A key of `MOST_LOST`.
        folder: An empty folder, for the study and its trainer.
        further: Overrides of the study.

    Raises:
        RuntimeError: The command fails, or nothing moves for `PATIENCE` seconds.
    """
    started = time.monotonic()
    (folder / "waiting.py").write_text(TRAINER.replace("PLACE", repr(str(folder))))
    study = folder / "multirun" / "s"
    with _arguments(launcher) as arguments, (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            [*_command(), *arguments, *further],
            cwd=folder,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        )
        try:
            _wait_until_both_train(study, process, folder)
            _kill_worker(study / f"trial_{VICTIM:05d}")
            (folder / "go").touch()
            if process.wait(PATIENCE) != 0:
                raise RuntimeError(f"{launcher}: {(folder / 'output.txt').read_text()}")
        finally:
            (folder / "go").touch()  # what still trains shall not do so for ever
            process.kill()
            process.wait()
    trials = load_trials(study / "trials.csv")
    attempts = dict(zip(trials["trial"], trials["attempt"], strict=True))
    return Outcome(
        launcher=launcher,
        trials=len(trials),
        complete=int((trials["state"] == "complete").sum()),
        lost=sum(attempt > 1 for attempt in attempts.values()),
        victim_went_on=attempts.get(VICTIM) == 2,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _arguments(launcher: str) -> Generator[list[str]]:
    """What chooses a launcher, and for Ray a cluster for as long as the block runs."""
    chosen = [f"hydra/launcher={launcher}"]
    if launcher != "ray":
        yield chosen
        return
    with two_node_cluster() as address:
        place = [f"hydra.launcher.ray.init.address={address}"]
        yield [*chosen, *place, "+hydra.launcher.ray.remote.num_cpus=1"]


def _command() -> list[str]:
    return [
        *(sys.executable, "-m", "sweeper", "--multirun", "sweep.study_name=s", "sweep.slots=2"),
        *("activations=synthetic", "activations.synthetic.n_tokens=4000", "target_l0=6"),
        *("activations.synthetic.held_out_tokens=1000", "sae.latent_dim=64", "l1_alpha=2"),
        *("sweep.train=waiting:train", f"seed={','.join(map(str, range(TRIALS)))}"),
        "sweep.report=false",
    ]


def _wait_until_both_train(study: Path, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all((study / f"trial_{n:05d}" / "history.csv").exists() for n in (0, VICTIM)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no two trials train: {(folder / 'output.txt').read_text()}")
        time.sleep(0.05)


def _kill_worker(directory: Path) -> None:
    owner = current_owner(directory)
    if owner is None:
        raise RuntimeError(f"{directory} has no job")
    os.kill(owner.pid, signal.SIGKILL)


def slurm_answers() -> bool:
    """Whether there is a Slurm here and its controller runs."""
    if shutil.which("sbatch") is None:
        return False
    asked = subprocess.run(["sinfo"], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


HEADER = ("launcher", "trials", "complete", "lost", "may be lost", "seconds", "verdict")


def _row(outcome: Outcome) -> list[str]:
    counts = (outcome.trials, outcome.complete, outcome.lost, MOST_LOST[outcome.launcher])
    verdict = "good" if outcome.is_good else "BAD"
    return [outcome.launcher, *map(str, counts), f"{outcome.seconds:.0f}", verdict]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the launchers and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--launchers", nargs="+", choices=list(MOST_LOST), default=list(MOST_LOST))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    rows: list[list[str]] = []
    for launcher in asked.launchers:
        if launcher == "submitit_slurm" and not slurm_answers():
            rows.append([launcher, *[""] * (len(HEADER) - 2), "no Slurm answers here"])
            continue
        with tempfile.TemporaryDirectory(prefix="launchers") as name:
            rows.append(_row(run(launcher, Path(name))))
        print(*rows[-1], sep=", ", flush=True)
    print(table(HEADER, rows))
    if asked.write:
        write_result("launchers", "A worker killed, on every launcher", table(HEADER, rows))
    return int(any(row[-1] == "BAD" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
