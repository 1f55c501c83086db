"""A private worker process for every slot, on its own GPU, replaced when it is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeper.execution.executor import Ending, JobEnd, Pack
from sweeper.execution.hydra_job import directories_of, job_overrides

LEAVES_WITHIN = 10.0
"""Seconds that an idle worker is given to end before it is killed."""
LOOK_EVERY = 0.2
"""Seconds between looks whether a worker that does not answer is still there."""
LONGEST_READ = 65536
"""Bytes of an answer that are read at once."""


def payload(context: HydraContext, task_function: TaskFunction, config: DictConfig) -> bytes:
    """What a worker needs once, before its first job."""
    state = Singleton.get_state()
    what: bytes = cloudpickle.dumps((context, task_function, config, state))
    return b"%s\n%d\n%s" % (json.dumps(sys.path).encode(), len(what), what)


class LocalWorkers:
    """Runs each slot's jobs in that slot's own process.

    Args:
        payload: What every worker is told first; see `payload`.
        environments: For each slot the variables that its process starts with.
        logs: For each slot the file for what its workers print.
    """

    def __init__(
        self, payload: bytes, environments: Sequence[Mapping[str, str]], logs: Sequence[Path]
    ) -> None:
        self._payload = payload
        self._environments = environments
        self._logs = logs
        self._workers: dict[int, _Worker] = {}

    def submit(self, slot: int, pack: Pack) -> "Future[list[JobEnd]]":
        """Gives the pack to the slot's worker, a new one where the last was killed."""
        worker = self._workers.get(slot)
        if worker is None or not worker.is_alive():
            if worker is not None:
                worker.close()
            worker = _Worker(self._payload, self._environments[slot], self._logs[slot])
            self._workers[slot] = worker
        return worker.submit(pack)

    def kill(self) -> None:
        """Kills every worker; what they trained goes on from its last checkpoint."""
        for worker in self._workers.values():
            worker.kill()

    def close(self) -> None:
        """Ends the workers, none of which has a job."""
        for worker in self._workers.values():
            worker.close()


class _Worker:
    """One worker process and the pipes to it."""

    def __init__(self, payload: bytes, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        read, write = os.pipe()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sweeper.execution.worker", str(write)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | dict(environment),
                pass_fds=(write,),
                start_new_session=True,
            )
        os.close(write)
        self._answers = os.fdopen(read, "rb", buffering=0)
        self._unsent = payload
        self._exchanging: threading.Thread | None = None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def submit(self, pack: Pack) -> "Future[list[JobEnd]]":
        future: Future[list[JobEnd]] = Future()
        order = {
            "number": pack[0].trial.number,
            "directories": [str(directory) for directory in directories_of(pack)],
            "overrides": job_overrides(pack[0]),
        }
        message = self._unsent + json.dumps(order).encode() + b"\n"
        self._unsent = b""
        self._exchanging = threading.Thread(
            target=self._exchange, args=(message, len(pack), future), daemon=True
        )
        self._exchanging.start()
        return future

    def _exchange(self, message: bytes, trials: int, future: "Future[list[JobEnd]]") -> None:
        with suppress(BrokenPipeError):
            self._orders.write(message)
            self._orders.flush()
        answer = self._answer()
        if answer.endswith(b"\n"):
            future.set_result([JobEnd.from_plain(content) for content in json.loads(answer)])
        else:
            status = self._process.wait()
            future.set_result([JobEnd(ending=Ending.lost, reason=self._epitaph(status))] * trials)

    def _answer(self) -> bytes:
        """The worker's line, or what there is of it where the worker is gone.

        The end of the pipe does not tell that: a process that a trainer forked holds it too.
        """
        answer = b""
        while not answer.endswith(b"\n"):
            is_alive = self.is_alive()  # asked first, since it may answer and leave
            if wait([self._answers.fileno()], LOOK_EVERY):
                read = self._answers.read(LONGEST_READ)
                if not read:
                    break
                answer += read
            elif not is_alive:
                break
        return answer

    @property
    def _orders(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise RuntimeError("a worker must have a standard input")
        return self._process.stdin

    def _epitaph(self, status: int) -> str:
        if status < 0:
            return f"its worker was killed by signal {-status}"
        lines = self._log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "nothing")
        return f"its worker ended with status {status}, after saying: {last.strip()}"

    def kill(self) -> None:
        self._kill_group()
        self._close_pipes()

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._orders.close()
        try:
            self._process.wait(LEAVES_WITHIN)
        except subprocess.TimeoutExpired:
            self._kill_group()
        self._close_pipes()

    def _kill_group(self) -> None:
        """Kills the worker and what its trainers forked."""
        if self.is_alive():  # once waited for, its number may be another process's
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _close_pipes(self) -> None:
        with suppress(BrokenPipeError):
            self._orders.close()
        if self._exchanging is not None:
            self._exchanging.join(LEAVES_WITHIN)
        self._answers.close()
