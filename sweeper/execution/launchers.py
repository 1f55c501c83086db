"""Which of Hydra's launchers runs the trials, and how."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from sweeper.execution.clusters import ray_machines, set_up_ray, slurm_machines
from sweeper.execution.devices import describe_slots, slot_environments
from sweeper.execution.executor import Executor, JobEnd, Pack
from sweeper.execution.hydra_job import directories_of, ends_of_job, job_overrides
from sweeper.execution.in_process import InProcess
from sweeper.execution.launcher_threads import LauncherThreads
from sweeper.execution.local_workers import LocalWorkers, payload
from sweeper.execution.locality import check_reach
from sweeper.messages import say

BASIC = "BasicLauncher"
JOBLIB = "JoblibLauncher"
SLURM = "SlurmLauncher"
RAY = "RayLauncher"


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
    kind = config.hydra.launcher._target_.rsplit(".", 1)[-1]
    if kind != BASIC:
        shut_down = _prepare(kind, config, folder)
        return LauncherThreads(_launcher(context, task_function, config), shut_down)
    if slots == 1:
        return InProcess(_LaunchHere(_launcher(context, task_function, config)))
    environments = slot_environments(slots, config.device)
    say(describe_slots(environments))
    own = f"join_{os.getpid()}_" if config.sweep.join else ""  # others have slots of these numbers
    logs = [folder / f"{own}slot_{slot}.log" for slot in range(slots)]
    return LocalWorkers(payload(context, task_function, config), environments, logs)


def _prepare(kind: str, config: DictConfig, folder: Path) -> Callable[[], None] | None:
    """Sets what a launcher needs for one job per slot; gives back what shuts it down."""
    storage: str | None = config.sweep.storage
    if kind == JOBLIB and config.hydra.launcher.n_jobs < 0:
        with open_dict(config):  # -1 is the number of cores, however many slots there are
            config.hydra.launcher.n_jobs = config.sweep.slots
    elif kind == SLURM:
        check_reach("Slurm", slurm_machines(), storage, folder)
    elif kind == RAY:
        shut_down = set_up_ray(config)
        check_reach("Ray", ray_machines(), storage, folder)
        return shut_down
    return None


class _LaunchHere:
    """Runs a job through a launcher that runs it in this process."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def __call__(self, pack: Pack) -> list[JobEnd]:
        overrides, number = job_overrides(pack[0]), pack[0].trial.number
        [ended] = self._launcher.launch([overrides], initial_job_idx=number)
        return ends_of_job(ended, directories_of(pack))


def _launcher(context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Any:
    return Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task_function, config=config
    )
