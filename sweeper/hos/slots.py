"""Hydra's launchers, one job at a time in each slot, for any application's jobs."""

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeper.concealment import HOS_STORAGE_KEY
from sweeper.execution.launchers import BASIC, kind_of_launcher, launcher_of, prepare


class Slots:
    """Runs jobs, so many at a time.

    Args:
        launcher: Any of Hydra's.
        count: How many; 1 runs them in the calling thread, as a launcher within this process must.

    Attributes:
        count: The same.
    """

    def __init__(self, launcher: Launcher, count: int) -> None:
        self._launcher = launcher
        self.count = count

    def submit(self, overrides: Sequence[str], number: int) -> "Future[JobReturn]":
        """Starts a job; the future raises where the launcher does, which has lost it then.

        Args:
            overrides: The job's.
            number: The job's.
        """
        future: Future[JobReturn] = Future()

        def launch() -> None:
            try:
                told = [*overrides, f"{HOS_STORAGE_KEY}=null"]
                [returned] = self._launcher.launch([told], initial_job_idx=number)
            except SystemExit as left:  # a job's must not end the sweep with the job's status
                future.set_exception(RuntimeError(f"the job called sys.exit({left.code!r})"))
            except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it)
                future.set_exception(error)
            else:
                future.set_result(returned)

        if self.count == 1:
            launch()
        else:
            threading.Thread(target=launch, daemon=True).start()
        return future


@contextmanager
def launching(
    context: HydraContext, task_function: TaskFunction, config: DictConfig, jobs: int
) -> Generator[Slots]:
    """The slots of a sweep for the block.

    Args:
        context: Hydra's.
        task_function: What a job calls.
        config: The sweep's configuration.
        jobs: At the same time; Hydra's basic launcher, within this process, runs one.
    """
    config = config.copy()
    count = 1 if kind_of_launcher(config) == BASIC else jobs
    shut_down = prepare(config, count)
    try:
        yield Slots(launcher_of(context, task_function, config), count)
    finally:
        if shut_down is not None:
            shut_down()
