import sys

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from sweeper.errors import SweepError
from sweeper.sampler_names import SamplerName
from sweeper.samplers import make_sampler, make_seeded_sampler

SEARCHED: dict[str, BaseDistribution] = {
    "x": IntDistribution(0, 3),
    "y": FloatDistribution(-1, 1, step=0.5),
}


def run(name: SamplerName, trials: int) -> list[tuple[int, float]]:
    study = optuna.create_study(sampler=make_sampler(name, {"seed": 3}, SEARCHED))
    for _ in range(trials):
        trial = study.ask(SEARCHED)
        study.tell(trial, trial.params["x"] + trial.params["y"] ** 2)
    return [(trial.params["x"], trial.params["y"]) for trial in study.trials]


@pytest.mark.parametrize("name", list(SamplerName))
def test_make_sampler_every_name_proposes_the_same_for_a_seed(name: SamplerName) -> None:
    assert run(name, 12) == run(name, 12)


@pytest.mark.parametrize("name", [SamplerName.grid, SamplerName.brute_force])
def test_make_sampler_grid_and_brute_force_try_every_point_once(name: SamplerName) -> None:
    assert len(set(run(name, 20))) == 20


def test_make_sampler_grid_over_an_interval_is_refused_by_key() -> None:
    with pytest.raises(SweepError, match=r"^z must be a choice or a range"):
        make_sampler(SamplerName.grid, {}, {"z": FloatDistribution(0, 1)})


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        (SamplerName.random, {"n_startup_trials": 3}, "n_startup_trials"),
        (SamplerName.tpe, {"gamma": "os.system"}, "gamma"),
        (SamplerName.cmaes, {"independent_sampler": "x"}, "independent_sampler"),
        (SamplerName.nsgaii, {"population_size": 0}, "population_size"),
    ],
)
def test_make_sampler_bad_option_is_refused_by_name(
    name: SamplerName, options: dict[str, object], named: str
) -> None:
    with pytest.raises(SweepError, match=rf"sweep.sampler {name.value} must .*{named}"):
        make_sampler(name, options, SEARCHED)


def test_make_sampler_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(SweepError, match="sae-sweep\\[cmaes\\]"):
        make_sampler(SamplerName.cmaes, {}, SEARCHED)


def candidates(seed: int, *processes: int) -> list[dict[str, object]]:
    """Candidates of a study that so many processes ask for so many trials, one after another."""
    study = optuna.create_study(study_name="s")
    for trials in processes:
        study.sampler = make_seeded_sampler(SamplerName.random, {}, SEARCHED, seed)
        for _ in range(trials):
            study.tell(study.ask(SEARCHED), 0.0)
    return [trial.params for trial in study.trials]


def test_make_seeded_sampler_study_that_goes_on_draws_what_it_would_have() -> None:
    assert candidates(3, 4, 4) == candidates(3, 8)
    assert candidates(3, 8) != candidates(4, 8)


@pytest.mark.parametrize("name", list(SamplerName))
def test_make_seeded_sampler_every_name_proposes_candidates(
    name: SamplerName,
) -> None:
    study = optuna.create_study(sampler=make_seeded_sampler(name, {}, SEARCHED, 0))
    for _ in range(12):
        study.tell(study.ask(SEARCHED), 0.0)
    assert len({tuple(trial.params.items()) for trial in study.trials}) > 3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [SamplerName.grid, SamplerName.brute_force])
def test_make_seeded_sampler_of_a_study_that_goes_on_tries_every_point_once(
    name: SamplerName, seed: int
) -> None:
    study = optuna.create_study()
    for trials in (7, 13):
        study.sampler = make_seeded_sampler(name, {}, SEARCHED, seed)
        for _ in range(trials):
            study.tell(study.ask(SEARCHED), 0.0)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 20


def test_make_seeded_sampler_seed_that_is_no_number_is_refused() -> None:
    with pytest.raises(SweepError, match="as its seed"):
        make_seeded_sampler(SamplerName.tpe, {"seed": "x"}, SEARCHED, 0)
