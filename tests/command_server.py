"""Forks commands from one process that has loaded what they load; `conftest.py` talks to it.

A command is told as to Python itself (`-m module`, `-c code` or a script, then its arguments). It
starts in a moment instead of loading torch anew, and is a process like any other: its signals,
its streams, its exit status and its exit handlers are its own.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins

LOADED = (
    *("sweeper.law_sweeper", "sweeper.study", "sweeper.pack_job", "sweeper.single_run"),
    *("sweeper.hos.sweep", "sae.architectures.compiled_standard", "sae.kernels.rows"),
    *("sqlalchemy.orm", "sqlalchemy.dialects.sqlite", "alembic.command", "alembic.migration"),
)
"""What commands load, here once. Nothing of it runs: a thread would not live on in a child."""
LONGEST_ORDER = 1 << 18
"""Bytes."""

Order = dict[str, Any]


def serve(control: socket.socket) -> Order:
    """Forks a child for each order, and says its number and then how it ended.

    Args:
        control: Gives orders, each with the child's standard output and error and with what the
            number and the status are written to. Where it ends, this process does.

    Returns:
        In a child, which serves no more: its order.
    """
    watched = selectors.DefaultSelector()
    watched.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not control:
                watched.unregister(key.fd)
                os.close(key.fd)
                _tell_the_end(*key.data)
            elif (order := _fork(control, watched)) is not None:
                return order


def _fork(control: socket.socket, watched: selectors.BaseSelector) -> Order | None:
    """Takes an order; answers with it in the child, and with nothing here."""
    order, descriptors, _, _ = socket.recv_fds(control, LONGEST_ORDER, 3)
    if not order:
        sys.exit()
    output, error, status = descriptors
    child = os.fork()
    if child == 0:
        os.dup2(output, sys.stdout.fileno())
        os.dup2(error, sys.stderr.fileno())
        others = [key.data[1] for key in watched.get_map().values() if key.data]
        for descriptor in (*descriptors, *others, *(key.fd for key in watched.get_map().values())):
            os.close(descriptor)
        watched.close()
        control.detach()
        return json.loads(order)
    os.write(status, b"%d\n" % child)
    os.close(output)
    os.close(error)
    watched.register(os.pidfd_open(child), selectors.EVENT_READ, (child, status))
    return None


def _tell_the_end(child: int, status: int) -> None:
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.close(status)


def become(order: Order) -> None:
    """Runs what an order asks for, as Python does that is started for it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    what, *arguments = order["command"]
    if what in ("-m", "-c"):
        sys.path[0] = order["folder"]
        sys.argv = [what, *arguments[1:]]
        if what == "-m":
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            exec(arguments[0], sys.modules["__main__"].__dict__)
    else:
        sys.path[0] = str(Path(what).parent)
        sys.argv = [what, *arguments]
        runpy.run_path(what, run_name="__main__")


def main(control: int) -> None:
    """Loads, and serves until there are no more orders; in a child, runs the child's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the tests
    for name in LOADED:
        importlib.import_module(name)
    Plugins.instance()  # which loads all of Hydra's
    gc.freeze()  # what is loaded stays, in every child
    become(serve(socket.socket(fileno=control)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
