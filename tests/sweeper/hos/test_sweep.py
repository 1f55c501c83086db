import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import optuna
import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sweeper.errors import SweepError
from sweeper.hos.options import HosOptions
from sweeper.hos.slots import Slots
from sweeper.hos.space import read_space
from sweeper.hos.sweep import HosLoop
from sweeper.sampler_names import SamplerName


class FakeLauncher:
    """Calls a function of the job's number."""

    def __init__(self, job: Callable[[int], Any]) -> None:
        self._job = job

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        assert len(job_overrides) == 1
        value = self._job(initial_job_idx)
        return [JobReturn(_return_value=value, status=JobStatus.COMPLETED)]


def run_jobs(
    job: Callable[[int], Any], study: optuna.Study, count: int = 2, **changes: Any
) -> None:
    given: dict[str, Any] = {
        "sampler": SamplerName.random,
        "sampler_options": {},
        "directions": ("minimize",),
        "storage": None,
        "study_name": None,
        "n_trials": 4,
        "n_jobs": count,
        "max_failure_rate": 0.0,
        "params": {"x": "interval(0,1)"},
        "search_space": {},
        "custom_search_space": None,
    }
    options = HosOptions(**(given | changes))
    slots = Slots(cast("Launcher", FakeLauncher(job)), count)
    HosLoop(options, read_space(options, []), study, slots, None).run(OmegaConf.create())


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def test_loop_free_slot_takes_the_next_trial_while_another_job_still_runs(
    study: optuna.Study,
) -> None:
    others_ran = threading.Event()

    def job(number: int) -> float:
        if number == 0:
            assert others_ran.wait(60)  # a batch of two would wait for this one first
        if number == 3:
            others_ran.set()
        return float(number)

    run_jobs(job, study)
    assert [trial.value for trial in study.trials] == [0, 1, 2, 3]


def test_loop_launcher_that_loses_a_job_costs_one_trial_where_failures_are_allowed(
    study: optuna.Study,
) -> None:
    def job(number: int) -> float:
        if number == 1:
            raise RuntimeError("its worker was killed")
        return 0.0

    run_jobs(job, study, max_failure_rate=0.5)
    complete, failed = TrialState.COMPLETE, TrialState.FAIL
    assert states(study) == [complete, failed, complete, complete]


def test_loop_launcher_that_loses_a_job_ends_the_sweep_where_none_are_allowed(
    study: optuna.Study,
) -> None:
    def job(number: int) -> float:
        raise RuntimeError("its worker was killed")

    with pytest.raises(RuntimeError, match="its worker was killed"):
        run_jobs(job, study)
    assert TrialState.RUNNING not in states(study)


def leaves(number: int) -> float:
    if number == 1:
        sys.exit(3)
    return 0.0


@pytest.mark.parametrize("count", [1, 2])
def test_loop_job_that_leaves_costs_one_trial_where_failures_are_allowed(
    study: optuna.Study, count: int
) -> None:
    run_jobs(leaves, study, count=count, max_failure_rate=1.0)
    complete, failed = TrialState.COMPLETE, TrialState.FAIL
    assert states(study) == [complete, failed, complete, complete]


def test_loop_job_that_leaves_ends_the_sweep_where_no_failure_is_allowed(
    study: optuna.Study,
) -> None:
    with pytest.raises(RuntimeError, match=r"^the job called sys\.exit\(3\)$"):
        run_jobs(leaves, study)


@pytest.mark.parametrize("count", [1, 2])
def test_loop_job_interrupted_by_ctrl_c_ends_the_sweep(study: optuna.Study, count: int) -> None:
    def job(number: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(job, study, count=count, max_failure_rate=1.0)


def test_loop_too_many_jobs_without_a_value_are_one_line(study: optuna.Study) -> None:
    with pytest.raises(SweepError, match=r"^hydra\.sweeper\.max_failure_rate must .* 2 of 2 jobs"):
        run_jobs(lambda _: None, study, max_failure_rate=0.5)


@pytest.mark.parametrize(("goals", "value"), [(1, "a\ntext"), (2, 3.0), (2, [1.0])])
def test_loop_job_without_a_value_is_a_line_that_says_what_it_returned(
    goals: int, value: Any
) -> None:
    directions = (StudyDirection.MINIMIZE,) * goals
    with pytest.raises(SweepError) as caught:
        run_jobs(
            lambda _: value,
            optuna.create_study(directions=directions),
            count=1,
            directions=("minimize",) * goals,
        )
    assert str(caught.value).endswith(
        f"but got 0; the last: a job must return {goals} number(s), but returned {value!r}."
    )
