"""Kills everything again and again, and looks whether the study comes out as if nothing had been.

python -m benchmarks.chaos --storage journal sqlite postgres --write
python -m benchmarks.chaos --storage journal --kills 4 --widths 2 --seeds 2
python -m benchmarks.chaos --storage journal sqlite --commands 2
python -m benchmarks.chaos --storage mysql://user:password@host/database

One study of 30 or more trials on 4 slots. At moments drawn from a printed seed, SIGKILL hits the
controller or a worker that trains, at least 6 times each, and the command is repeated each time
the controller died. A watcher (`benchmarks.chaos_watch`), a process that shares no code with the
sweep, looks for directories with two writers and counts the steps that were run again. Exit
status 1 where a trial is missing or doubled, a cell is not in band, a directory had two writers
or the steps run exceed 1.5 times those of the same study left alone. With `--commands 2` two
commands run the study at the same time (`sweep.join=true`), and either is killed.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import load_trials
from benchmarks.chaos_watch import ChaosWatch
from benchmarks.markdown import table, write_result
from benchmarks.storages import label, storage_of_kind
from sweeper.execution.lease import current_owner

UNDISTURBED = "undisturbed"
SLOTS, STEPS, LOG_EVERY = 4, 800, 10
LEAST_EACH = 6
"""Kills that hit the controller, and that hit workers."""
MOST_STEPS = 1.5
"""Times the steps of the undisturbed study."""
AT_ONCE = 0.3
"""Share of kills that do not wait until something trains again."""
LONGEST_PAUSE = 3.0
"""Seconds, at most, from the moment that something trains to the kill."""
PATIENCE = 600.0
"""Seconds in which a command must make progress."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One study and what is done to it."""

    storage: str | None
    study: str
    """Its name: another for each study in a database that stays."""
    widths: int
    seeds: int
    kills: int
    seed: int
    slots: int = SLOTS
    steps: int = STEPS
    commands: int = 1
    """That run the study at the same time, with their share of the slots each."""
    longest_pause: float = LONGEST_PAUSE

    def command(self) -> list[str]:
        """The command, the same each time."""
        widths = ",".join(str(48 + 8 * step) for step in range(self.widths))
        storage = [] if self.storage is None else [f"sweep.storage='{self.storage}'"]
        return [
            *(sys.executable, "-m", "sweeper", "--multirun", f"sweep.study_name={self.study}"),
            *("activations=synthetic", "activations.synthetic.d_in=16"),
            *("activations.synthetic.n_features=32", "activations.synthetic.active_features=2"),
            *("activations.synthetic.n_tokens=4000", "activations.synthetic.held_out_tokens=1000"),
            *("trainer.batch_size=128", "trainer.learning_rate=5e-3", "target_l0=6"),
            *(f"trainer.total_steps={self.steps}", f"trainer.log_every={LOG_EVERY}"),
            "trainer.checkpoint_every=100",
            *(f"sae.latent_dim={widths}", f"seed={','.join(map(str, range(self.seeds)))}"),
            *(
                f"sweep.slots={self.slots // self.commands}",
                f"sweep.join={self.commands > 1}",
                f"sweep.max_retries={self.kills + 1}",
                "sweep.keep=none",
                "sweep.report=false",
            ),
            *storage,
        ]

    def victims(self, random_: random.Random) -> list[str]:
        """Who is killed, in order."""
        least = min(LEAST_EACH, self.kills // 2)
        chosen = ["controller"] * least + ["worker"] * least
        chosen += random_.choices(["controller", "worker"], k=self.kills - len(chosen))
        random_.shuffle(chosen)
        return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a study."""

    trials: int
    doubled: int
    missing: int
    not_complete: int
    cells_off: int
    steps: int
    """Run in all, those that were run again among them."""
    two_writers: tuple[str, ...]
    kills: Counter[str]
    seconds: float

    def is_good(self, undisturbed: int) -> bool:
        """Whether nothing was lost, doubled or written twice."""
        broken = self.doubled + self.missing + self.not_complete + self.cells_off
        return not broken and not self.two_writers and self.steps <= MOST_STEPS * undisturbed


class _Study:
    """A study whose command is repeated whenever it was killed."""

    def __init__(self, plan: Plan, parent: Path) -> None:
        self.folder = parent / "multirun" / plan.study
        self._plan = plan
        self._parent = parent
        self._log = (parent / "output.txt").open("ab")
        self._processes = [self._start() for _ in range(plan.commands)]

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            self._plan.command(),
            cwd=self._parent,
            stdout=self._log,
            stderr=self._log,
            env=environment,
        )

    def is_over(self) -> bool:
        return all(process.poll() is not None for process in self._processes)

    @property
    def status(self) -> int:
        """Of the commands that have ended, the worst."""
        return max(process.wait() for process in self._processes)

    def busy_workers(self) -> list[int]:
        """Processes that train at this moment, by the leases."""
        owners = [current_owner(path.parent) for path in self.folder.glob("*/lease_*.json")]
        return [o.pid for o in owners if o is not None and Path(f"/proc/{o.pid}").exists()]

    def kill(self, victim: str, random_: random.Random) -> None:
        if victim == "controller":
            which = random_.randrange(len(self._processes))
            self._processes[which].kill()
            self._processes[which].wait()
            self._processes[which] = self._start()
            return
        os.kill(random_.choice(self.busy_workers()), signal.SIGKILL)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._log.close()


def run(plan: Plan, parent: Path) -> Outcome:
    """Runs a study to its end, killing as planned.

    Args:
        plan: The study, the kills and their seed.
        parent: Folder for the study; `output.txt` in it gets what the commands print.

    Raises:
        RuntimeError: The command fails, or nothing moves for `PATIENCE` seconds.
    """
    random_ = random.Random(plan.seed)
    started = time.monotonic()
    study = _Study(plan, parent)
    done: Counter[str] = Counter()
    with ChaosWatch(study.folder) as watch:
        try:
            for victim in plan.victims(random_):
                if random_.random() > AT_ONCE or victim == "worker":
                    _wait(lambda: study.is_over() or bool(study.busy_workers()), parent)
                time.sleep(random_.uniform(0, plan.longest_pause))
                if victim == "worker":
                    _wait(lambda: study.is_over() or bool(study.busy_workers()), parent)
                if study.is_over():
                    break
                study.kill(victim, random_)
                done[victim] += 1
            _wait(study.is_over, parent)
            status = study.status
        finally:
            study.close()
    if status != 0:
        raise RuntimeError(f"the last command ended with status {status}: {_output(parent)}")
    trials = load_trials(study.folder / "trials.csv")
    return _judge(trials, plan, watch, done, time.monotonic() - started)


def _wait(condition: Callable[[], bool], parent: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing moves: {_output(parent)}")
        time.sleep(0.02)


def _output(parent: Path) -> str:
    return (parent / "output.txt").read_text()[-2000:]


def _judge(
    trials: pd.DataFrame, plan: Plan, watch: ChaosWatch, kills: Counter[str], seconds: float
) -> Outcome:
    complete = trials[trials["state"] == "complete"]
    runs = complete[["cell", "l1_alpha", "seed"]]
    landed = complete[complete["in_band"]]["cell"].nunique()
    numbers = list(trials["trial"])
    return Outcome(
        trials=len(trials),
        doubled=int(runs.duplicated().sum()) + len(numbers) - len(set(numbers)),
        missing=int(trials["trial"].max()) + 1 - len(set(numbers)),
        not_complete=len(trials) - len(complete),
        cells_off=plan.widths - landed,
        steps=int(trials["steps_done"].sum()) + watch.steps_again,
        two_writers=tuple(sorted(watch.two_writers)),
        kills=kills,
        seconds=seconds,
    )


HEADER = (
    *("storage", "trials", "kills (controller, worker)", "doubled", "missing", "not complete"),
    *("cells off", "two writers", "steps / undisturbed", "minutes", "verdict"),
)


def _row(name: str, outcome: Outcome, undisturbed: int) -> list[str]:
    kills = outcome.kills
    return [
        name,
        str(outcome.trials),
        f"{kills.total()} ({kills['controller']}, {kills['worker']})",
        *(str(outcome.doubled), str(outcome.missing), str(outcome.not_complete)),
        *(str(outcome.cells_off), str(len(outcome.two_writers))),
        f"{outcome.steps / undisturbed:.2f}",
        f"{outcome.seconds / 60:.1f}",
        "good" if outcome.is_good(undisturbed) else "BAD",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the studies and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", nargs="+", default=["journal", "sqlite", "postgres"])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--widths", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--commands", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    print(f"kills drawn from seed {asked.seed}", flush=True)
    rows: list[list[str]] = []
    bad = False
    undisturbed = 0
    for name in (UNDISTURBED, *asked.storage):
        kind, kills = ("journal", 0) if name == UNDISTURBED else (name, asked.kills)
        with (
            tempfile.TemporaryDirectory(prefix="chaos") as folder,
            storage_of_kind(kind, Path(folder)) as url,
        ):
            plan = Plan(
                storage=url,
                study=f"chaos-{uuid.uuid4().hex[:8]}",
                widths=asked.widths,
                seeds=asked.seeds,
                kills=kills,
                seed=asked.seed,
                steps=asked.steps,
                commands=1 if name == UNDISTURBED else asked.commands,
            )
            outcome = run(plan, Path(folder))
        undisturbed = undisturbed or outcome.steps
        bad = bad or not outcome.is_good(undisturbed)
        rows.append(_row(label(name) if name != UNDISTURBED else name, outcome, undisturbed))
        print(table(HEADER, rows[-1:]), flush=True)
    print(table(HEADER, rows))
    if asked.write:
        write_result("chaos", "Everything killed, again and again", table(HEADER, rows))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
