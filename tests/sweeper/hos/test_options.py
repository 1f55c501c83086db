from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.sae_sweeper.config import SAMPLERS, LawSweeperConfig
from sweeper.errors import SweepError
from sweeper.hos.options import read_options
from sweeper.sampler_names import SamplerName
from sweeper.samplers import make_sampler


def composed(**changes: Any) -> DictConfig:
    sweeper = OmegaConf.structured(LawSweeperConfig)
    sweeper.sampler = changes.pop("sampler", SAMPLERS["tpe"])
    return OmegaConf.create({"hydra": {"sweeper": OmegaConf.merge(sweeper, changes)}})


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - {"motpe"}))
def test_read_options_every_offered_sampler_can_be_made(name: str) -> None:
    options = read_options(composed(sampler=SAMPLERS[name] | {"seed": 3}))
    assert options.sampler.value == name
    assert make_sampler(options.sampler, options.sampler_options, {}) is not None


def test_read_options_sampler_is_a_name_with_the_options_that_are_not_null() -> None:
    block = {"_target_": "optuna.samplers.RandomSampler", "_partial_": True, "seed": 3}
    options = read_options(composed(sampler=block))
    assert options.sampler is SamplerName.random
    assert options.sampler_options["seed"] == 3
    assert "_partial_" not in options.sampler_options


def test_read_options_key_that_nothing_reads_is_refused() -> None:
    content: Any = OmegaConf.to_container(composed())
    content["hydra"]["sweeper"]["n_trails"] = 3
    config = DictConfig(content)
    with pytest.raises(SweepError, match=r"hydra\.sweeper must hold none but .* got 'n_trails'"):
        read_options(config)


def test_read_options_params_take_the_place_of_the_older_search_space() -> None:
    older = {"x": {"type": "int", "low": 0, "high": 1}}
    assert read_options(composed(search_space=older)).search_space == older
    both = read_options(composed(search_space=older, params={"x": "range(0,3)"}))
    assert (both.search_space, both.params) == ({}, {"x": "range(0,3)"})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sampler": {"_target_": "os.system", "seed": 1}}, "hydra.sweeper.sampler._target_"),
        ({"sampler": SAMPLERS["motpe"]}, "tpe does its work"),
        ({"direction": "up"}, "hydra.sweeper.direction"),
        ({"direction": ["minimize", "down"]}, "hydra.sweeper.direction"),
        ({"storage": {"_target_": "x"}}, "hydra.sweeper.storage"),
        ({"n_jobs": 0}, "hydra.sweeper.n_jobs"),
        ({"n_trials": -1}, "hydra.sweeper.n_trials"),
        ({"max_failure_rate": 1.5}, "hydra.sweeper.max_failure_rate"),
    ],
)
def test_read_options_value_that_cannot_be_honoured_is_refused_by_name(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(SweepError, match=named):
        read_options(composed(**changes))
