"""Which of Hydra's launchers runs the trials, and how."""

import os
from collections.abc import Callable
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from sweeper.execution.clusters import ray_machines, set_up_ray, slurm_has, slurm_machines
from sweeper.execution.devices import describe_slots, slot_environments
from sweeper.execution.executor import Executor, JobEnd, Pack
from sweeper.execution.hydra_job import directories_of, ends_of_job, job_overrides
from sweeper.execution.in_process import InProcess
from sweeper.execution.launcher_threads import LauncherThreads
from sweeper.execution.local_workers import LocalWorkers, payload
from sweeper.messages import say
from sweeper.reporting import KnowsStorage

BASIC = "BasicLauncher"
JOBLIB = "JoblibLauncher"
SLURM = "SlurmLauncher"
RAY = "RayLauncher"
SUBMITIT_LOCAL = "LocalLauncher"
OF_THIS_MACHINE = (BASIC, JOBLIB, SUBMITIT_LOCAL)
"""Those whose jobs never leave it; Ray's and Slurm's may, and others are not known."""


def make_executor(
    context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    folder: Path,
    storage: str | None,
) -> Executor:
    """What runs a study's trials: by Hydra's launcher, or in workers of our own.

    Hydra's basic launcher with several slots becomes a worker process per slot.

    Args:
        context: Hydra's.
        task_function: What a job calls.
        config: The sweep's configuration; `hydra.launcher` and `sweep.slots` choose.
        folder: The study's folder.
        storage: The URL of its database, which is in no configuration.
    """
    config = config.copy()
    with open_dict(config):
        config.hydra.sweep.dir = str(folder)
    slots: int = config.sweep.slots
    kind = kind_of_launcher(config)
    if kind != BASIC:
        shut_down = prepare(config, slots)
        _check_reach(kind, storage, folder)
        if kind == RAY and storage is not None:  # a cluster's workers have its own environment
            task_function = KnowsStorage(task_function, storage)
        if kind == SLURM:
            return LauncherThreads(
                lambda pack: _SlurmJob(context, task_function, config, pack), shut_down
            )
        job = _AnyJob(launcher_of(context, task_function, config))
        return LauncherThreads(lambda _pack: job, shut_down)
    if slots == 1:
        return InProcess(_LaunchHere(launcher_of(context, task_function, config)))
    environments = slot_environments(slots, config.device)
    say(describe_slots(environments))
    own = f"join_{os.getpid()}_" if config.sweep.join else ""  # others have slots of these numbers
    logs = [folder / f"{own}slot_{slot}.log" for slot in range(slots)]
    return LocalWorkers(payload(context, task_function, config), environments, logs)


def kind_of_launcher(config: DictConfig) -> str:
    """The class of `hydra.launcher`."""
    return config.hydra.launcher._target_.rsplit(".", 1)[-1]


def prepare(config: DictConfig, slots: int) -> Callable[[], None] | None:
    """Sets what a launcher needs for one job per slot.

    Args:
        config: The sweep's, whose launcher is changed.
        slots: Jobs that will run at the same time.

    Returns:
        What shuts the launcher down, where anything must be.
    """
    kind = kind_of_launcher(config)
    if kind == JOBLIB and config.hydra.launcher.n_jobs < 0:
        with open_dict(config):  # -1 is the number of cores, however many slots there are
            config.hydra.launcher.n_jobs = slots
    return set_up_ray(config) if kind == RAY else None


def _check_reach(kind: str, storage: str | None, folder: Path) -> None:
    if kind not in (SLURM, RAY):
        return
    from sweeper.execution.locality import check_reach  # loads SQLAlchemy, for `storage`'s URL

    if kind == SLURM:
        check_reach("Slurm", slurm_machines(), storage, folder)
    else:
        check_reach("Ray", ray_machines(), storage, folder)


class _AnyJob:
    """A job in no queue that could be asked."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher

    def is_queued(self) -> None:
        """Nobody says."""


class _SlurmJob:
    """A job that Slurm knows by the names of launcher, study and trial."""

    def __init__(
        self, context: HydraContext, task_function: TaskFunction, config: DictConfig, pack: Pack
    ) -> None:
        directory, config = pack[0].directory, config.copy()
        self._name = f"{config.hydra.launcher.name}.{directory.parent.name}.{directory.name}"
        with open_dict(config):
            config.hydra.launcher.name = self._name
        self.launcher = launcher_of(context, task_function, config)

    def is_queued(self) -> bool | None:
        """Asks Slurm."""
        return slurm_has(self._name)


class _LaunchHere:
    """Runs a job through a launcher that runs it in this process."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def __call__(self, pack: Pack) -> list[JobEnd]:
        overrides, number = job_overrides(pack[0]), pack[0].trial.number
        [ended] = self._launcher.launch([overrides], initial_job_idx=number)
        return ends_of_job(ended, directories_of(pack))


def launcher_of(
    context: HydraContext, task_function: TaskFunction, config: DictConfig
) -> Launcher:
    """Hydra's launcher of a configuration."""
    return Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task_function, config=config
    )
