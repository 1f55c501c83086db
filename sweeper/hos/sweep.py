"""The loop: ask Optuna for a batch of trials, launch them, tell what their jobs returned."""

import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from sweeper.distributions import number_of_points, override_text
from sweeper.errors import SweepError
from sweeper.hos.options import HosOptions, read_options
from sweeper.hos.space import Extend, HosSpace, load_extend, read_space
from sweeper.sampler_names import SamplerName
from sweeper.samplers import make_sampler
from sweeper.storage import open_storage, redacted

RESULTS_FILE = "optimization_results.yaml"
EXIT_BAD_INPUT = 2

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
        options = read_options(config)
        space = read_space(options, arguments, hydra_context.config_loader)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        study = _study(options, space, Path(config.hydra.sweep.dir))
        extend = load_extend(options.custom_search_space)
        HosLoop(options, space, study, launcher, extend).run(config)
        results = results_of(study)
    except SweepError as error:
        sys.stderr.write(f"hydra/sweeper=law: {error}\n")
        return EXIT_BAD_INPUT
    OmegaConf.save(OmegaConf.create(results), Path(config.hydra.sweep.dir) / RESULTS_FILE)
    return 0


def _study(options: HosOptions, space: HosSpace, folder: Path) -> optuna.Study:
    folder.mkdir(parents=True, exist_ok=True)
    sampler = make_sampler(
        options.sampler, options.sampler_options, space.searched, "hydra.sweeper.sampler"
    )
    study = optuna.create_study(
        study_name=options.study_name,
        storage=None if options.storage is None else open_storage(options.storage, folder),
        sampler=sampler,
        directions=[StudyDirection[name.upper()] for name in options.directions],
        load_if_exists=True,
    )
    shown = None if options.storage is None else redacted(options.storage)
    log.info("Study %s, storage %s, sampler %s", study.study_name, shown, options.sampler.value)
    return study


class HosLoop:
    """Runs the trials of a study, a batch at a time.

    Args:
        options: How many, how many at a time, and how many may fail.
        space: What is searched.
        study: Where they are kept.
        launcher: Any of Hydra's.
        extend: Suggests further parameters.
    """

    def __init__(
        self,
        options: HosOptions,
        space: HosSpace,
        study: optuna.Study,
        launcher: Launcher,
        extend: Extend | None,
    ) -> None:
        self._options = options
        self._space = space
        self._study = study
        self._launcher = launcher
        self._extend = extend

    def run(self, config: DictConfig) -> None:
        """Runs all trials.

        Args:
            config: The sweep's, for functions that suggest parameters.

        Raises:
            Exception: What a job raised, where too many failed.
        """
        left = self._trials_wanted()
        while left > 0:
            count = min(left, self._options.n_jobs)
            # Jobs are numbered on where the study has trials, so that no directory is reused.
            first = len(self._study.get_trials(deepcopy=False))
            trials = [self._study.ask() for _ in range(count)]
            overrides = [self._overrides(trial, config) for trial in trials]
            returns = self._launcher.launch(overrides, initial_job_idx=first)
            self._tell(trials, returns)
            left -= count

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

    def _tell(self, trials: Sequence[Trial], returns: Sequence[JobReturn]) -> None:
        failures = 0
        for trial, returned in zip(trials, returns, strict=True):
            values = self._values(returned)
            if isinstance(values, str):
                log.warning("trial %d failed: %s", trial.number, values)
                failures += 1
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, values)
        if failures / len(returns) > self._options.max_failure_rate:
            for returned in returns:
                _ = returned.return_value  # raises what the job raised
            raise SweepError(
                f"hydra.sweeper.max_failure_rate must be at least {failures / len(returns):g} "
                f"for a batch of which {failures} of {len(returns)} jobs returned no value, "
                f"but got {self._options.max_failure_rate:g}."
            )

    def _values(self, returned: JobReturn) -> list[float] | str:
        """What a job returned, or why that is no result."""
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
