"""A trial as a Hydra job: its overrides, its run in this process, and what came of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from analysis.hydra_text import quoted
from sweeper.cells import assignments
from sweeper.execution.executor import Ending, Job, JobEnd, Pack, end_of
from sweeper.study_folder import trial_directory_name


def job_overrides(job: Job) -> list[str]:
    """The overrides that make a trial of its cell's settings."""
    trial, cell = job.trial, job.cell
    return [
        *cell.overrides,
        *assignments(trial.params),
        f"seed={trial.seed}",
        *([] if cell.settings.sae.architecture.sets_l0 else [f"l1_alpha={trial.l1_alpha!r}"]),
        f"hydra.sweep.dir={quoted(str(job.directory.parent))}",
        f"hydra.sweep.subdir={trial_directory_name(trial.number)}",
    ]


def run_here(
    context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    overrides: Sequence[str],
    number: int,
) -> JobReturn:
    """Composes and runs one job in this process, as Hydra's own launchers do.

    Args:
        context: Hydra's.
        task_function: What a job calls.
        config: The sweep's configuration.
        overrides: The job's.
        number: The trial's.
    """
    composed = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(composed):
        composed.hydra.job.id = str(number)
        composed.hydra.job.num = number
    return run_job(
        hydra_context=context,
        task_function=task_function,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def ends_of_job(job: JobReturn, directories: Sequence[Path]) -> list[JobEnd]:
    """How the trials of a Hydra job ended.

    Args:
        job: What the launcher gave back.
        directories: The trials'.
    """
    # The public property prints to stderr and raises; the exception itself is wanted here.
    answer: Any = job._return_value  # pyright: ignore[reportPrivateUsage]
    if job.status is not JobStatus.COMPLETED:
        return [end_of(answer, directory) for directory in directories]
    if len(directories) > 1:
        return [JobEnd.from_plain(content) for content in answer]
    return [JobEnd(ending=Ending.returned)]


def directories_of(pack: Pack) -> list[Path]:
    """Where the trials of a pack are."""
    return [job.directory for job in pack]
