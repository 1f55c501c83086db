"""Looks from outside, through the operating system alone, who writes into a study's trials."""

import csv
import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Self

LOOK_EVERY = 0.05
HELD = 3.0
"""Seconds for which two processes must both keep a trial's lock file open to be two writers: a
job that waits for the lock, or looks at it, lets go of it sooner."""
TRIED = ("trial.lock",)
"""Files that processes open to look whether somebody else writes."""


class ChaosWatch:
    """Watches while its block runs, from a process of its own that nothing here can hold up.

    Args:
        study: The study's folder, there or not yet.

    Attributes:
        two_writers: Trials whose directory two processes wrote to at one time, by what was seen;
            known after the block.
        steps_again: Steps that were run more than once; known after the block.
    """

    def __init__(self, study: Path) -> None:
        self.two_writers: set[str] = set()
        self.steps_again = 0
        self._study = study

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._study)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout is None or not self._process.stdout.readline():
            raise RuntimeError("the watch did not begin")
        return self

    def __exit__(self, *_error: object) -> None:
        answer = self._process.communicate()[0]  # closes its standard input, which ends it
        seen = json.loads(answer)
        self.two_writers = set(seen["two_writers"])
        self.steps_again = seen["steps_again"]


class _Watch:
    """What the process of a watch does and keeps."""

    def __init__(self, study: Path) -> None:
        self.two_writers: set[str] = set()
        self.steps_again = 0
        self._study = study
        self._last_step: dict[str, int] = {}
        self._since: dict[tuple[str, int], float] = {}

    def until_asked(self) -> None:
        """Looks again and again until standard input ends."""
        print("watching", flush=True)
        while not select.select([sys.stdin], [], [], LOOK_EVERY)[0]:
            self._look()
        self._look()

    def _look(self) -> None:
        self._look_at_open_files()
        for history in self._study.glob("trial_*/history.csv"):
            self._look_at_steps(history)

    def _look_at_open_files(self) -> None:
        writers: dict[str, set[int]] = defaultdict(set)
        holders: dict[str, set[int]] = defaultdict(set)
        for pid, path in _open_for_writing(self._study):
            trial = path.relative_to(self._study.resolve()).parts[0]
            if path.name in TRIED:
                holders[trial].add(pid)
            elif path.parts[-2] in ("checkpoint", "sae") or path.name == "history.csv":
                writers[trial].add(pid)
        self.two_writers |= {f"{t}: files of {p}" for t, p in writers.items() if len(p) > 1}
        now = time.monotonic()
        held = {(trial, pid) for trial, pids in holders.items() for pid in pids}
        self._since = {key: self._since.get(key, now) for key in held}
        for trial, pids in holders.items():
            long = [pid for pid in pids if now - self._since[trial, pid] > HELD]
            if len(long) > 1:
                self.two_writers.add(f"{trial}: locks of {long}")

    def _look_at_steps(self, history: Path) -> None:
        """Steps of one writer only rise; whoever goes on from a checkpoint cuts the file first."""
        trial = history.parent.name
        steps = _steps(history)
        if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
            self.two_writers.add(f"{trial}: steps out of order")
        last = steps[-1] if steps else 0
        self.steps_again += max(0, self._last_step.get(trial, 0) - last)
        self._last_step[trial] = last


def _open_for_writing(study: Path) -> list[tuple[int, Path]]:
    """Every process with every file in the study's trials that it may write to."""
    found: list[tuple[int, Path]] = []
    prefix = f"{study.resolve()}/trial_"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                target = str(descriptor.readlink())
                if target.startswith(prefix) and _is_writable(process, descriptor.name):
                    found.append((int(process.name), Path(target)))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def _is_writable(process: Path, descriptor: str) -> bool:
    for line in (process / "fdinfo" / descriptor).read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return bool(int(value, 8) & (os.O_WRONLY | os.O_RDWR))
    return False


def _steps(history: Path) -> list[int]:
    try:
        lines = history.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [int(row["step"]) for row in rows]


def main() -> None:
    """Watches the study that the command line names, and prints what was seen."""
    watch = _Watch(Path(sys.argv[1]))
    watch.until_asked()
    seen = {"two_writers": sorted(watch.two_writers), "steps_again": watch.steps_again}
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
