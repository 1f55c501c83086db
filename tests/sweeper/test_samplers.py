import sys

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from sweeper.errors import SweepError
from sweeper.sampler_names import SamplerName
from sweeper.samplers import make_sampler

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
