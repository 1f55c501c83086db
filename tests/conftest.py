"""Settings of the whole suite, and the commands that its tests start."""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest
from hypothesis import settings

# The tests' tensors are small: more threads only wait for one another, above all when several
# test processes share the cores. Set before torch is imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SERVER = Path(__file__).with_name("command_server.py")


class Forked(subprocess.Popen[str]):
    """A process that the command server forked, with what of `Popen` the tests use.

    Args:
        server: Takes orders; see `command_server.py`.
        command: As for Python: `-m module`, `-c code` or a script, then its arguments.
        folder: The working directory.
    """

    def __init__(self, server: socket.socket, command: tuple[str, ...], folder: Path) -> None:
        self.args = command
        self.returncode: int | None = None
        order = {"command": command, "folder": str(folder), "environment": dict(os.environ)}
        pipes = [os.pipe() for _ in range(3)]
        theirs = [write for _, write in pipes]
        socket.send_fds(server, [json.dumps(order).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        output, error, self._status = (os.fdopen(read) for read, _ in pipes)
        self.stdin, self.stdout, self.stderr = None, output, error
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        """See `Popen`."""
        return self.returncode if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """See `Popen`."""
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode or 0

    def _has_ended(self, timeout: float | None) -> bool:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode is not None

    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str, str]:
        """See `Popen`; what takes too long is killed."""
        with ThreadPoolExecutor(2) as pool:
            try:
                output, error = pool.map(_rest, (self.stdout, self.stderr), timeout=timeout)
            except TimeoutError:
                self.kill()
                raise
        self.wait()
        return output, error


def _rest(stream: IO[str] | None) -> str:
    """What comes until the stream's end; nothing where the test has closed it."""
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


@contextmanager
def _command_server() -> Generator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        number = theirs.fileno()
        command = [sys.executable, str(SERVER), str(number)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[number]):
            theirs.close()
            yield ours
            ours.close()  # which ends it


@pytest.fixture(scope="session")
def command_server() -> Iterator[socket.socket]:
    """One for each test process, which has loaded what commands load."""
    with _command_server() as server:
        yield server


@pytest.fixture
def start_python(
    command_server: socket.socket, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python in the test's folder as on a command line, but with torch and all loaded.

    What looks at a start itself must start `sys.executable`. What still runs at the end is killed.
    """
    with ExitStack() as stack:

        def start(*command: str) -> subprocess.Popen[str]:
            process = Forked(command_server, command, tmp_path)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield start
