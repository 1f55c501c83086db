"""A worker process: runs one job after another for one slot, and stays warm between them.

Orders come as lines of JSON on standard input, answers go as lines of JSON to the file descriptor
that the command line names; what a job prints goes to the slot's log. When the controller dies,
standard input ends: the worker finishes its trial, which the next controller adopts, and leaves.
"""

import json
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeper.execution.executor import JobEnd, end_of
from sweeper.execution.hydra_job import ends_of_job, run_here


def main(arguments: Sequence[str]) -> None:
    """Serves orders until there are no more.

    Args:
        arguments: The number of the file descriptor for answers.
    """
    # Ctrl-C in a terminal reaches every process; the controller tells its jobs in its own way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Loads torch while the controller is still composing its first trial.
    import sweeper.job  # noqa: F401  # pyright: ignore[reportUnusedImport]

    orders = sys.stdin.buffer
    sys.path[:] = json.loads(orders.readline())
    # From our own parent, through our own pipe: the task function may be of a script's __main__.
    context, task_function, config, state = pickle.loads(_sized(orders))
    setup_globals()
    Singleton.set_state(state)
    with os.fdopen(int(arguments[0]), "w") as answers:
        for order in orders:
            ends = _run(context, task_function, config, json.loads(order))
            try:
                print(json.dumps([asdict(end) for end in ends]), file=answers, flush=True)
            except BrokenPipeError:  # the controller is gone
                return


def _sized(stream: IO[bytes]) -> bytes:
    return stream.read(int(stream.readline()))


def _run(
    context: HydraContext, task_function: TaskFunction, config: DictConfig, order: dict[str, Any]
) -> list[JobEnd]:
    directories = [Path(name) for name in order["directories"]]
    try:
        job = run_here(context, task_function, config, order["overrides"], order["number"])
        return ends_of_job(job, directories)
    except Exception as error:  # noqa: BLE001  (whatever a job raises ends that job only)
        return [end_of(error, directory) for directory in directories]


if __name__ == "__main__":
    main(sys.argv[1:])
