"""Every kind of storage under eight processes that ask and tell at the same time.

STORAGE_TRIALS=50 python -m pytest tests/sweeper/test_storage_processes.py     at full size
"""

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from benchmarks.postgres import postgres_server
from sweeper.storage import storage_for

PROCESSES, TRIALS = 8, int(os.environ.get("STORAGE_TRIALS", "4"))
KINDS: tuple[str, ...] = ("journal", "sqlite", "postgres", "grpc")

WRITER = """
import json, sys
from pathlib import Path
import optuna
from sweeper.storage import open_storage
folder, who, trials = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
for url in json.loads(sys.argv[1]).values():
    study = optuna.load_study(storage=open_storage(url, folder), study_name="s")
    for _ in range(int(trials)):
        trial = study.ask()
        trial.set_user_attr("who", who)
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storages")


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def grpc_url(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", PROXY, str(folder), str(port)])
    yield f"grpc://localhost:{port}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def storages(folder: Path, postgres_url: str, grpc_url: str) -> dict[str, str | None]:
    """Every storage, after all processes have written to it."""
    urls = dict(
        zip(KINDS, (None, f"sqlite:///{folder}/s.db", postgres_url, grpc_url), strict=True)
    )
    for url in urls.values():
        with storage_for(url, folder) as storage:
            optuna.create_study(storage=storage, study_name="s")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, json.dumps(urls), str(folder), str(who), str(TRIALS)]
        )
        for who in range(PROCESSES)
    ]
    assert [writer.wait(timeout=30 * TRIALS) for writer in writers] == [0] * PROCESSES
    return urls


@pytest.mark.parametrize("kind", KINDS)
def test_storage_eight_processes_lose_and_double_no_trial(
    storages: dict[str, str | None], folder: Path, kind: str
) -> None:
    with storage_for(storages[kind], folder) as storage:
        trials = optuna.load_study(storage=storage, study_name="s").trials
    assert [trial.number for trial in trials] == list(range(PROCESSES * TRIALS))
    told = Counter(trial.value for trial in trials)
    assert told == {float(who): TRIALS for who in range(PROCESSES)}
    assert all(trial.user_attrs["who"] == str(int(trial.value or 0)) for trial in trials)
