"""Runs that are killed ten times end with the bytes of an undisturbed one.

python -m benchmarks.kill --architectures topk      one after another, or all at once

Real activations (all-MiniLM-L6-v2, layer 3), every architecture, on the CPU, with resampling, AuxK
and the controller where they apply. A process is killed by SIGKILL at ten random moments, three of
them while a checkpoint is being written, and started again each time.
"""

import argparse
import hashlib
import math
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.demo import demo_store
from benchmarks.markdown import table, write_result
from benchmarks.piecewise import Piecewise
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.dead_latents import DeadLatentsConfig, Resampling
from sae.history import HistoryRow
from sae.trainer_config import Controller, TrainerConfig
from sae.training import TrainingRequest, train

LAYER, WIDTH, STEPS = 3, 1024, 300
KILLS, IN_WRITE = 10, 3
LIMIT = 1.3
"""Steps executed may be so many times the run's."""
STEP_LOG = "executed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one architecture's ten kills."""

    architecture: str
    """What was trained."""
    kills: int
    """How often a process was killed."""
    in_write: int
    """How many of them left a half-written checkpoint."""
    executed: int
    """Steps of all processes together."""
    is_identical: bool
    """Whether the files are those of the undisturbed run."""

    @property
    def is_good(self) -> bool:
        """Whether all conditions hold."""
        counts = self.kills >= KILLS and self.in_write >= IN_WRITE
        return counts and self.is_identical and self.executed <= LIMIT * STEPS


def request_of(architecture: Architecture) -> TrainingRequest:
    """A short run with everything that has state."""
    return TrainingRequest(
        sae=SaeConfig(architecture=architecture, latent_dim=WIDTH),
        trainer=TrainerConfig(
            total_steps=STEPS,
            batch_size=128,
            log_every=1,
            checkpoint_every=0.02,
            checkpoint_share=1.0,
            held_out_tokens=4096,
            dead_window=2_000,
            stop_early=False,
            controller=Controller.none if architecture.sets_l0 else Controller.l0,
            dead_latents=DeadLatentsConfig(resampling=Resampling.loss_weighted),
        ),
        alpha_canonical=0.0 if architecture.sets_l0 else 3.0,
        target_l0_count=16.0,
        device="cpu",
    )


def _train(request: TrainingRequest, store: ActivationStore, folder: Path) -> None:
    """The process: trains, and notes every step as it is done."""
    with (folder / STEP_LOG).open("a", buffering=1) as log:

        def note(row: HistoryRow) -> None:
            log.write(f"{row.step}\n")

        train(request, store, folder, note)
    os._exit(0)


class Victim:
    """A run that is killed again and again."""

    def __init__(self, request: TrainingRequest, store: ActivationStore, folder: Path) -> None:
        self.arguments = (request, store, folder)
        self.folder = folder
        folder.mkdir()

    def executed(self) -> int:
        """Steps of all processes so far."""
        path = self.folder / STEP_LOG
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def start(self) -> BaseProcess:
        """A process that goes on with the run; forked, so that it starts at once."""
        process = multiprocessing.get_context("fork").Process(target=_train, args=self.arguments)
        process.start()
        return process

    def kill_after(self, steps: int, in_write: bool) -> bool:
        """Kills a process after some steps, or in its next checkpoint.

        Returns:
            Whether a checkpoint was left half-written.
        """
        for old in self._unfinished():
            old.unlink()
        process, enough = self.start(), self.executed() + steps
        while self.executed() < enough and process.is_alive():
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        while in_write and process.is_alive() and not self._unfinished():
            pass
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError("The run ended before it could be killed.")
        return bool(self._unfinished())

    def _unfinished(self) -> list[Path]:
        return list((self.folder / "checkpoint").glob(".step_*.tmp"))


def measure(architecture: Architecture, store: ActivationStore, folder: Path) -> Outcome:
    """Trains one undisturbed run and one that is killed, and compares."""
    request = request_of(architecture)
    whole = Victim(request, store, folder / "whole")
    whole.start().join()
    victim = Victim(request, store, folder / "killed")
    kills = in_write = 0
    while kills < KILLS or in_write < IN_WRITE:
        left = max(1, KILLS - kills)
        most = max(2, int(1.4 * (STEPS - _resumes_at(victim)) / (left + 1)))
        in_write += victim.kill_after(random.randint(1, most), in_write < IN_WRITE)
        kills += 1
    victim.start().join()
    return Outcome(
        architecture=architecture.value,
        kills=kills,
        in_write=in_write,
        executed=victim.executed(),
        is_identical=_digest(whole.folder) == _digest(victim.folder),
    )


def _resumes_at(victim: Victim) -> int:
    names = sorted((victim.folder / "checkpoint").glob("step_*.safetensors"))
    return int(names[-1].stem.removeprefix("step_")) if names else 0


def _digest(folder: Path) -> str:
    files = sorted((folder / "sae").iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Kills every architecture's run; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [architecture.value for architecture in Architecture]
    parser.add_argument("--architectures", nargs="+", choices=names, default=names)
    options = parser.parse_args(arguments)
    random.seed(0)
    store = demo_store(LAYER)
    work = Piecewise("kill", math.inf)
    for name in options.architectures:
        if name not in work.rows:
            with TemporaryDirectory() as folder:
                work.add(name, asdict(measure(Architecture(name), store, Path(folder))))
    outcomes = [
        Outcome(**{key: value for key, value in work.rows[name].items() if key != "key"})
        for name in names
        if name in work.rows
    ]
    rows = [
        [
            outcome.architecture,
            str(outcome.kills),
            str(outcome.in_write),
            f"{outcome.executed / STEPS:.2f}",
            "yes" if outcome.is_identical else "NO",
        ]
        for outcome in outcomes
    ]
    header = ["architecture", "kills", "of them in a write", "steps / run's", "same bytes"]
    body = f"{STEPS} steps at width {WIDTH}, a checkpoint every 2 %.\n\n{table(header, rows)}"
    print(f"{body}\n\nwritten to {write_result('kill', 'Killed runs', body)}")
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
