"""What `hydra/sweeper: law` may be told, and the samplers that its `sampler` group offers.

The keys below `grammar` are those of hydra-optuna-sweeper, with its defaults, so that its
configurations compose; `hydra.sweeper.grammar=law` uses `params` alone of them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class Grammar(Enum):
    """How the words of a command line are read."""

    law = "law"
    """Comma lists make cells: `sweeper/space.py`."""
    hos = "hos"
    """Comma lists are choices, as in hydra-optuna-sweeper: `sweeper/hos/`."""


def _default_sampler() -> list[Any]:
    return [{"sampler": "tpe"}]


@dataclass
class LawSweeperConfig:
    """`hydra.sweeper` of an application."""

    _target_: str = "hydra_plugins.sae_sweeper.LawSweeper"
    # Nothing below is made into an object: names are looked up in tables.
    _recursive_: bool = False
    defaults: list[Any] = field(default_factory=_default_sampler)
    grammar: Grammar = Grammar.law
    params: dict[str, Any] | None = field(default_factory=dict[str, Any])
    sampler: Any = MISSING
    direction: Any = "minimize"
    storage: Any = None
    study_name: str | None = None
    n_trials: int = 20
    n_jobs: int = 2
    max_failure_rate: float = 0.0
    search_space: dict[str, Any] | None = None
    custom_search_space: str | None = None


_INDEPENDENT = {"independent_sampler": None, "warn_independent_sampling": None}
_PARZEN = {
    "consider_prior": None,
    "prior_weight": None,
    "consider_magic_clip": None,
    "consider_endpoints": None,
    "n_startup_trials": 10,
}
_GENETIC = {
    "population_size": 50,
    "mutation": None,
    "mutation_prob": None,
    "crossover": None,
    "crossover_prob": 0.9,
    "swapping_prob": 0.5,
    "constraints_func": None,
}

SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": {
        "_target_": "optuna.samplers.TPESampler",
        **_PARZEN,
        "n_ei_candidates": 24,
        "multivariate": False,
        "group": False,
        "warn_independent_sampling": None,
        "constant_liar": False,
        "constraints_func": None,
    },
    "random": {"_target_": "optuna.samplers.RandomSampler"},
    "grid": {"_target_": "optuna.samplers.GridSampler", "_partial_": True},
    "cmaes": {
        "_target_": "optuna.samplers.CmaEsSampler",
        **_INDEPENDENT,
        "x0": None,
        "sigma0": None,
        "n_startup_trials": 1,
        "consider_pruned_trials": False,
        "restart_strategy": None,
        "popsize": None,
        "inc_popsize": -1,
        "use_separable_cma": False,
        "with_margin": False,
        "lr_adapt": False,
        "source_trials": None,
    },
    "gp": {
        "_target_": "optuna.samplers.GPSampler",
        **_INDEPENDENT,
        "n_startup_trials": 10,
        "deterministic_objective": False,
        "constraints_func": None,
    },
    "qmc": {
        "_target_": "optuna.samplers.QMCSampler",
        **_INDEPENDENT,
        "qmc_type": "sobol",
        "scramble": False,
        "warn_asynchronous_seeding": None,
    },
    "nsgaii": {"_target_": "optuna.samplers.NSGAIISampler", **_GENETIC},
    "nsgaiii": {
        "_target_": "optuna.samplers.NSGAIIISampler",
        **_GENETIC,
        "reference_points": None,
        "dividing_parameter": 3,
    },
    "motpe": {"_target_": "optuna.samplers.MOTPESampler", **_PARZEN, "n_ehvi_candidates": 24},
}
"""Options and defaults of hydra-optuna-sweeper; null leaves an option to Optuna."""


def register() -> None:
    """Puts the sweeper and its samplers where Hydra composes from."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="law", node=LawSweeperConfig, provider="sae-sweep")
    for name, options in SAMPLERS.items():
        store.store(
            group="hydra/sweeper/sampler",
            name=name,
            node={"seed": None, **options},
            provider="sae-sweep",
        )
