"""Eight processes ask and tell trials of one study at the same time, on every kind of storage.

python -m benchmarks.storages --write
python -m benchmarks.storages --kinds --url mysql://user:password@host/database

Journal, SQLite, PostgreSQL (a real server) and Optuna's gRPC proxy need nothing; `--url` adds a
database of yours, in which a study is made and deleted. A trial is lost where fewer are there
than were told, doubled where a number is there twice or a value was told twice. Exit status 1
where any is.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from benchmarks.markdown import table, write_result
from benchmarks.postgres import postgres_server
from sweeper.database import redacted
from sweeper.storage import storage_for

PROCESSES, TRIALS = 8, 50
KINDS = ("journal", "sqlite", "postgres", "grpc")
SECONDS_A_TRIAL = 30
"""Of each process, at most."""

WRITER = """
import json, sys
from pathlib import Path
import optuna
from sweeper.storage import open_storage
urls, folder, name, who, trials = json.loads(sys.stdin.read())
for url in urls:
    study = optuna.load_study(storage=open_storage(url, Path(folder)), study_name=name)
    for number in range(trials):
        trial = study.ask()
        trial.set_user_attr("who", f"{who} {number}")
        study.tell(trial, float(who))
"""

PROXY = """
import sys
from pathlib import Path
from optuna.storages import run_grpc_proxy_server
from sweeper.storage import open_storage
folder = Path(sys.argv[1])
storage = open_storage(f"sqlite:///{folder}/behind_grpc.db", folder)
run_grpc_proxy_server(storage, host="localhost", port=int(sys.argv[2]))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a study that several processes wrote to."""

    lost: int
    doubled: int
    mixed_up: int
    """Trials that hold what two processes wrote."""
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether every trial is there once."""
        return not (self.lost or self.doubled or self.mixed_up)


def write_together(
    urls: Mapping[str, str | None], folder: Path, processes: int, trials: int
) -> dict[str, Outcome]:
    """Lets processes ask and tell trials of one study in each storage, and counts what is there.

    Args:
        urls: The storages by name; None for the journal.
        folder: For the journal.
        processes: How many.
        trials: Of each, in each storage.

    Raises:
        RuntimeError: A process fails, or takes `SECONDS_A_TRIAL` and more.
    """
    name = f"storages-{uuid.uuid4().hex}"
    started = time.monotonic()
    with ExitStack() as stack:
        studies: dict[str, optuna.Study] = {}
        for kind, url in urls.items():
            storage = stack.enter_context(storage_for(url, folder))
            studies[kind] = optuna.create_study(storage=storage, study_name=name)
            stack.callback(optuna.delete_study, study_name=name, storage=storage)
        _write(processes, trials, [list(urls.values()), str(folder), name])
        seconds = time.monotonic() - started
        wanted = {f"{who} {number}" for who in range(processes) for number in range(trials)}
        return {
            kind: _outcome(study.get_trials(), wanted, seconds) for kind, study in studies.items()
        }


def _outcome(told: Sequence[FrozenTrial], wanted: set[str], seconds: float) -> Outcome:
    numbers = Counter(trial.number for trial in told)
    said = Counter(trial.user_attrs.get("who") for trial in told)
    return Outcome(
        lost=len(wanted - set(said)) + len(set(range(len(wanted))) - set(numbers)),
        doubled=sum(count - 1 for count in (*numbers.values(), *said.values())),
        mixed_up=sum(t.user_attrs.get("who", "").split()[:1] != [f"{t.value:g}"] for t in told),
        seconds=seconds,
    )


def _write(processes: int, trials: int, where: Sequence[object]) -> None:
    writers = [
        # A URL may hold a password, which every user of the machine reads on a command line.
        subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, env=_environment())
        for _ in range(processes)
    ]
    for who, writer in enumerate(writers):
        if writer.stdin is None:
            raise RuntimeError("a writer must have a standard input")
        writer.stdin.write(json.dumps([*where, who, trials]).encode())
        writer.stdin.close()
    if [writer.wait(timeout=SECONDS_A_TRIAL * trials) for writer in writers] != [0] * processes:
        raise RuntimeError("a writer failed")


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@contextmanager
def grpc_proxy(folder: Path) -> Generator[str]:
    """Optuna's proxy in front of SQLite, in a process of its own; gives its URL.

    Args:
        folder: For the database.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PROXY, str(folder), str(port)], env=_environment()
    )
    try:
        yield f"grpc://localhost:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def storage_of_kind(kind: str, folder: Path) -> Generator[str | None]:
    """The URL of a storage that is there for the block.

    Args:
        kind: One of `KINDS`, or a URL.
        folder: For its files.
    """
    with ExitStack() as stack:
        if kind == "journal":
            yield None
        elif kind == "sqlite":
            yield f"sqlite:///{folder}/study.db"
        elif kind == "postgres":
            yield stack.enter_context(postgres_server())
        elif kind == "grpc":
            yield stack.enter_context(grpc_proxy(folder))
        else:
            yield kind


def label(kind: str) -> str:
    """A kind or a URL as it may be shown."""
    return kind if kind in KINDS else redacted(kind)


HEADER = ("storage", "processes", "trials each", "lost", "doubled", "mixed up", "seconds")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes to every storage and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--url", nargs="+", default=[])
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    outcomes: dict[str, Outcome] = {}
    for kind in (*asked.kinds, *asked.url):
        with (
            tempfile.TemporaryDirectory(prefix="storages") as name,
            storage_of_kind(kind, Path(name)) as url,
        ):
            outcome = write_together({kind: url}, Path(name), asked.processes, asked.trials)[kind]
        outcomes[label(kind)] = outcome
        print(f"{label(kind)}: {'good' if outcome.is_good else 'BAD'}", flush=True)
    text = table(HEADER, _rows(outcomes, asked))
    print(text)
    if asked.write:
        write_result("storages", "Many processes on one study", text)
    return int(not all(outcome.is_good for outcome in outcomes.values()))


def _rows(outcomes: Mapping[str, Outcome], asked: argparse.Namespace) -> list[list[str]]:
    size = [str(asked.processes), str(asked.trials)]
    return [
        [name, *size, str(o.lost), str(o.doubled), str(o.mixed_up), f"{o.seconds:.0f}"]
        for name, o in outcomes.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
