from collections.abc import Mapping
from math import exp, log
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sweeper.search.observations import Observation, Pending, observe
from sweeper.search.prior import PriorComponent, mixture
from sweeper.search.sampler import LawSampler, Problem

TARGET, WIDTH = 32.0, 1024


def l0_of(alpha: float) -> float:
    return 400 * exp(-((alpha / 0.8) ** 0.9))


class Study:
    """A cell driven by ask and tell, as a sweep does it."""

    def __init__(self, file: Path, factor: float = 1.0) -> None:
        self.observations: list[Observation] = []
        self.pending: list[Pending] = []
        self.factor = factor
        self.sampler = LawSampler(problem=self._problem, others=optuna.samplers.TPESampler(seed=0))
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))),
            study_name="cell",
            sampler=self.sampler,
            load_if_exists=True,
        )

    def _problem(self, _: Mapping[str, Any]) -> Problem:
        component = PriorComponent(name="theory", mean=log(0.5), sd=0.5)
        return Problem(
            components=mixture([component]),
            target=TARGET,
            tolerance=0.05,
            latent_dim=WIDTH,
            observations=self.observations,
            pending=self.pending,
            canonical_factor=self.factor,
        )

    def ask(self) -> tuple[optuna.Trial, float]:
        trial = self.study.ask()
        alpha = trial.suggest_float("l1_alpha", 1e-3 * self.factor, 1e3 * self.factor, log=True)
        return trial, alpha

    def run_one(self) -> float:
        trial, alpha = self.ask()
        l0 = l0_of(alpha / self.factor)
        self.observations.append(
            observe(ln_alpha=log(alpha / self.factor), latent_dim=WIDTH, l0=l0)
        )
        self.study.tell(trial, abs(log(l0 / TARGET)))
        return l0


@pytest.mark.parametrize("factor", [1.0, 2048.0])
def test_sampler_on_a_journal_lands_in_five_trials_whatever_the_units(
    tmp_path: Path, factor: float
):
    cell = Study(tmp_path / "study.journal", factor)
    misses = [abs(log(cell.run_one() / TARGET)) for _ in range(5)]
    assert min(misses) <= log(1.05)


def test_sampler_asks_the_prior_first_and_says_what_it_expects(tmp_path: Path):
    cell = Study(tmp_path / "study.journal")
    _, alpha = cell.ask()
    assert alpha == pytest.approx(0.5)
    predicted = cell.sampler.predicted()
    assert set(predicted) == {"predicted_l0", "predicted_l0_sd", "prior_weights"}
    assert predicted["predicted_l0"] == pytest.approx(TARGET, rel=0.2)


def test_sampler_of_an_equal_study_asks_the_same(tmp_path: Path):
    first, second = Study(tmp_path / "a.journal"), Study(tmp_path / "b.journal")
    for cell in (first, second):
        cell.run_one()
        cell.run_one()
    assert first.ask()[1] == second.ask()[1]


def test_sampler_leaves_every_other_parameter_to_optuna(tmp_path: Path):
    cell = Study(tmp_path / "study.journal")
    trial, _ = cell.ask()
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    batch = trial.suggest_categorical("batch_size", [256, 512])
    assert 1e-4 <= rate <= 1e-2
    assert batch in (256, 512)


def test_sampler_samples_the_rest_jointly_once_tpe_has_seen_enough(tmp_path: Path):
    cell = Study(tmp_path / "study.journal")
    for _ in range(12):
        trial, _ = cell.ask()
        trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        cell.study.tell(trial, 1.0)
    trial = cell.study.ask()
    assert set(trial.relative_params) == {"learning_rate"}


def test_sampler_of_an_enqueued_alpha_predicts_nothing(tmp_path: Path):
    cell = Study(tmp_path / "study.journal")
    cell.study.enqueue_trial({"l1_alpha": 0.7})
    assert cell.ask()[1] == pytest.approx(0.7)
    assert cell.sampler.predicted() == {}


def test_sampler_beside_a_running_trial_asks_elsewhere(tmp_path: Path):
    cell = Study(tmp_path / "study.journal")
    _, first = cell.ask()
    cell.pending.append(Pending(ln_alpha=log(first), latent_dim=WIDTH))
    assert abs(log(cell.ask()[1] / first)) > 0.1


def test_problem_of_a_landed_cell_aims_beside_the_target(tmp_path: Path):
    cell = Study(tmp_path / "study.journal")
    landed = [observe(ln_alpha=u, latent_dim=WIDTH, l0=l0_of(exp(u))) for u in (0.6, 0.7)]
    problem = Problem(
        components=mixture([PriorComponent(name="theory", mean=0.5, sd=0.5)]),
        target=l0_of(exp(0.7)),
        tolerance=0.05,
        latent_dim=WIDTH,
        observations=landed,
        bracketing=True,
    )
    assert problem.propose(1e-2, 1e2).reason in ("beyond", "third alpha")
    assert cell.observations == []
