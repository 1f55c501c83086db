"""The loop: ask Optuna for a trial for every free slot, launch it, tell what its job returned."""

import logging
import math
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from sweeper.composing import composing_once
from sweeper.concealment import HOS_STORAGE_KEY, conceal_storage
from sweeper.distributions import number_of_points, override_text
from sweeper.errors import SweepError
from sweeper.hos.options import HosOptions, read_options
from sweeper.hos.slots import Slots, launching
from sweeper.hos.space import Extend, HosSpace, load_extend, read_space
from sweeper.messages import EXIT_BAD_INPUT
from sweeper.sampler_names import SamplerName
from sweeper.samplers import make_sampler
from sweeper.storage import open_storage, shown

RESULTS_FILE = "optimization_results.yaml"
OWN_COMMAND = "sweeper.app"
"""The module of this project's own application."""

log = logging.getLogger(__name__)


def run_hos(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    arguments: Sequence[str],
) -> int:
    """Runs the study that a hydra-optuna-sweeper configuration and a command line ask for.

    Returns:
        The exit status: 0, or 2 where something asked for cannot be.

    Raises:
        Exception: What a job raised, where more of a batch failed than `max_failure_rate` allows.
    """
    try:
        _refuse_own_command(task_function)
        options = read_options(config)
        space = read_space(options, arguments, hydra_context.config_loader)
        conceal_storage(config)
        study = _study(options, space, Path(config.hydra.sweep.dir))
        extend = load_extend(options.custom_search_space)
        context = composing_once(hydra_context)
        with launching(context, task_function, config, options.n_jobs) as slots:
            HosLoop(options, space, study, slots, extend).run(config)
        results = results_of(study)
    except SweepError as error:
        sys.stderr.write(f"hydra/sweeper=law: {error}\n")
        return EXIT_BAD_INPUT
    OmegaConf.save(OmegaConf.create(results), Path(config.hydra.sweep.dir) / RESULTS_FILE)
    return 0


def _refuse_own_command(task_function: TaskFunction) -> None:
    """Raises a SweepError where jobs are those of `sae-sweep`, which return no number."""
    if task_function.__module__ == OWN_COMMAND:
        raise SweepError(
            "hydra.sweeper.grammar must be law in sae-sweep, whose jobs return a record and no "
            "number to optimise, but got hos."
        )


def _study(options: HosOptions, space: HosSpace, folder: Path) -> optuna.Study:
    """The study, made or joined.

    Raises:
        SweepError: It is stored with other directions, or with another kind of space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sampler = make_sampler(
        options.sampler, options.sampler_options, space.searched, "hydra.sweeper.sampler"
    )
    study = optuna.create_study(
        study_name=options.study_name,
        storage=None
        if options.storage is None
        else open_storage(options.storage, folder, HOS_STORAGE_KEY),
        sampler=sampler,
        directions=[StudyDirection[name.upper()] for name in options.directions],
        load_if_exists=True,
    )
    _refuse_other_directions(study, options.directions)
    _refuse_other_distributions(study, space.searched)
    place, sampler_name = shown(options.storage), options.sampler.value
    log.info("Study %s, storage %s, sampler %s", study.study_name, place, sampler_name)
    return study


def _refuse_other_directions(study: optuna.Study, asked: Sequence[str]) -> None:
    """A study that is stored keeps its directions, whatever else is asked for."""
    stored = [direction.name.lower() for direction in study.directions]
    if stored != [*asked]:
        raise SweepError(
            f"hydra.sweeper.direction must stay {','.join(stored)} in study "
            f"{study.study_name!r}, but got {','.join(asked)}; choose another "
            "hydra.sweeper.study_name."
        )


def _refuse_other_distributions(
    study: optuna.Study, searched: Mapping[str, BaseDistribution]
) -> None:
    """Optuna takes one kind of distribution for a key, and the same choices every time."""
    trials = study.get_trials(deepcopy=False)
    for key, asked in searched.items():
        known = next((t.distributions[key] for t in trials if key in t.distributions), asked)
        try:
            check_distribution_compatibility(known, asked)
        except ValueError:
            raise SweepError(
                f"{key} must be searched as {known} or alike in study {study.study_name!r}, but "
                f"got {asked}; choose another hydra.sweeper.study_name."
            ) from None


class HosLoop:
    """Runs the trials of a study, each as soon as a slot is free.

    Args:
        options: How many, and how many may fail.
        space: What is searched.
        study: Where they are kept.
        slots: Run the jobs.
        extend: Suggests further parameters.
    """

    def __init__(
        self,
        options: HosOptions,
        space: HosSpace,
        study: optuna.Study,
        slots: Slots,
        extend: Extend | None,
    ) -> None:
        self._options = options
        self._space = space
        self._study = study
        self._slots = slots
        self._extend = extend
        self._wanted = self._trials_wanted()
        self._failed: deque[bool] = deque(maxlen=max(1, min(options.n_jobs, self._wanted)))
        """Whether the last jobs did, as many as there would be in a batch."""

    def run(self, config: DictConfig) -> None:
        """Runs all trials.

        Args:
            config: The sweep's, for functions that suggest parameters.

        Raises:
            Exception: What a job raised, where too many failed.
        """
        asked: list[Trial] = []
        running: dict[Future[JobReturn], Trial] = {}
        try:
            while len(asked) < self._wanted or running:
                while len(asked) < self._wanted and len(running) < self._slots.count:
                    asked.append(self._study.ask())
                    overrides = self._overrides(asked[-1], config)
                    # Numbered on where the study has trials, so that no directory is reused.
                    job = self._slots.submit(overrides, asked[-1].number)
                    running[job] = asked[-1]
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for job in sorted(ended, key=lambda each: running[each].number):
                    self._tell(running.pop(job), job)
        finally:
            told = {
                t.number for t in self._study.get_trials(deepcopy=False) if t.state.is_finished()
            }
            for trial in asked:
                if trial.number not in told:
                    self._study.tell(trial, state=TrialState.FAIL)

    def _trials_wanted(self) -> int:
        points = number_of_points(self._space.searched.values())
        if self._options.sampler is SamplerName.grid and points is not None:
            return min(self._options.n_trials, points)
        return self._options.n_trials

    def _overrides(self, trial: Trial, config: DictConfig) -> list[str]:
        for key, distribution in self._space.searched.items():
            # Optuna's public methods are one for each kind of distribution.
            trial._suggest(key, distribution)  # pyright: ignore[reportPrivateUsage]
        for key, text in self._space.fixed.items():
            trial.set_user_attr(key, text)
        if self._extend is not None:
            self._extend(config, trial)
        for key in trial.params.keys() & self._space.fixed.keys():
            raise SweepError(
                f"{key} must be fixed or searched, but custom_search_space searches it and "
                f"{key}={self._space.fixed[key]} fixes it."
            )
        return [
            *(f"{key}={override_text(value)}" for key, value in trial.params.items()),
            *(f"{key}={text}" for key, text in self._space.fixed.items()),
            *self._space.deleted,
        ]

    def _tell(self, trial: Trial, job: "Future[JobReturn]") -> None:
        values = self._values(job)
        self._failed.append(isinstance(values, str))
        if not isinstance(values, str):
            self._study.tell(trial, values)
            return
        log.warning("trial %d failed: %s", trial.number, values)
        self._study.tell(trial, state=TrialState.FAIL)
        failures, most = sum(self._failed), self._failed.maxlen or 1
        if failures / most > self._options.max_failure_rate:
            _ = job.result().return_value  # raises what the launcher or the job raised
            raise SweepError(
                f"hydra.sweeper.max_failure_rate must be at least {failures / most:g} where "
                f"{failures} of {most} jobs returned no value, "
                f"but got {self._options.max_failure_rate:g}; the last: {values}."
            )

    def _values(self, job: "Future[JobReturn]") -> list[float] | str:
        """What a job returned, or why that is no result."""
        lost = job.exception()
        if isinstance(lost, KeyboardInterrupt):
            raise lost
        if lost is not None:
            return f"{type(lost).__name__}: {lost}"
        returned = job.result()
        # The public property prints to stderr and raises; a failed job is not the end here.
        value: Any = returned._return_value  # pyright: ignore[reportPrivateUsage]
        if returned.status is not JobStatus.COMPLETED:
            return f"{type(value).__name__}: {value}"
        wanted = len(self._options.directions)
        try:
            values = [float(value)] if wanted == 1 else [float(each) for each in value]
        except (TypeError, ValueError):
            return f"a job must return {wanted} number(s), but returned {value!r}"
        if len(values) != wanted or any(math.isnan(each) for each in values):
            return f"a job must return {wanted} number(s), but returned {value!r}"
        return values


def results_of(study: optuna.Study) -> dict[str, Any]:
    """What `optimization_results.yaml` holds.

    Raises:
        SweepError: No trial has a result.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise SweepError("a study must have a trial with a result, but every job failed.")
    if len(study.directions) > 1:
        solutions = [{"params": t.params, "values": t.values} for t in study.best_trials]
        log.info("%d solutions that no other beats", len(solutions))
        return {"name": "optuna", "solutions": solutions}
    best = study.best_trial
    log.info("Best value %s with %s", best.value, best.params)
    return {"name": "optuna", "best_params": best.params, "best_value": best.value}
