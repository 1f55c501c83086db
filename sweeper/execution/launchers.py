"""Which of Hydra's launchers runs the trials, and how."""

from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from sweeper.execution.devices import describe_slots, slot_environments
from sweeper.execution.executor import Executor, Job, JobEnd
from sweeper.execution.hydra_job import end_of_job, job_overrides
from sweeper.execution.in_process import InProcess
from sweeper.execution.launcher_threads import LauncherThreads
from sweeper.execution.local_workers import LocalWorkers, payload
from sweeper.messages import say

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def make_executor(
    context: HydraContext, task_function: TaskFunction, config: DictConfig, folder: Path
) -> Executor:
    """What runs a study's trials: by Hydra's launcher, or in workers of our own.

    Hydra's basic launcher with several slots becomes a worker process per slot.

    Args:
        context: Hydra's.
        task_function: What a job calls.
        config: The sweep's configuration; `hydra.launcher` and `sweep.slots` choose.
        folder: The study's folder.
    """
    config = config.copy()
    with open_dict(config):
        config.hydra.sweep.dir = str(folder)
    slots: int = config.sweep.slots
    if config.hydra.launcher._target_ != BASIC:
        return LauncherThreads(_launcher(context, task_function, config))
    if slots == 1:
        return InProcess(_LaunchHere(_launcher(context, task_function, config)))
    environments = slot_environments(slots, config.device)
    say(describe_slots(environments))
    return LocalWorkers(payload(context, task_function, config), environments, folder)


class _LaunchHere:
    """Runs a job through a launcher that runs it in this process."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def __call__(self, job: Job) -> JobEnd:
        [ended] = self._launcher.launch([job_overrides(job)], initial_job_idx=job.trial.number)
        return end_of_job(ended, job.directory)


def _launcher(context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Any:
    return Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task_function, config=config
    )
