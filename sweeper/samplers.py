"""Optuna's samplers by name: a fixed table, so that nothing is imported from data."""

import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna import samplers
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweeper.distributions import grid_of
from sweeper.errors import SweepError
from sweeper.sampler_names import SamplerName
from sweeper.search.handing_on import HandingOn


class _StopsNothing(BaseSampler):
    """A sampler that does not stop Optuna's own loop, which nobody here runs."""

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Does nothing."""


class _Grid(_StopsNothing, samplers.GridSampler):
    """Tries values that are listed beforehand."""


class _BruteForce(_StopsNothing, samplers.BruteForceSampler):
    """Tries values that need not be listed beforehand."""


class SeededByTrial(HandingOn):
    """Draws each trial from a seed and the trial's number.

    A sampler's own random numbers begin anew in every process: a study that goes on, or that two
    processes run, would be offered its first candidates again.

    Args:
        make: Gives the sampler for a seed.
        seed: Of the study.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self.others = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begins the trial's own random numbers."""
        drawn = np.random.SeedSequence((self._seed, trial.number)).generate_state(1)
        self.others = self._make(int(drawn[0]))
        self.others.before_trial(study, trial)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    make: Callable[..., BaseSampler]
    quiet: tuple[str, ...] = ()
    """Options that only warn of what is chosen here on purpose."""


_KINDS: dict[SamplerName, _Kind] = {
    SamplerName.tpe: _Kind(make=samplers.TPESampler),
    SamplerName.gp: _Kind(make=samplers.GPSampler, quiet=("warn_independent_sampling",)),
    SamplerName.cmaes: _Kind(make=samplers.CmaEsSampler, quiet=("warn_independent_sampling",)),
    SamplerName.random: _Kind(make=samplers.RandomSampler),
    SamplerName.grid: _Kind(make=_Grid),
    SamplerName.qmc: _Kind(
        make=samplers.QMCSampler,
        quiet=("warn_independent_sampling", "warn_asynchronous_seeding"),
    ),
    SamplerName.nsgaii: _Kind(make=samplers.NSGAIISampler),
    SamplerName.nsgaiii: _Kind(make=samplers.NSGAIIISampler),
    SamplerName.brute_force: _Kind(make=_BruteForce),
}


_OF_ONE_ORDER = (SamplerName.qmc, SamplerName.grid)
"""Their seed shuffles one sequence of points, of which the study notes what was drawn."""


def make_sampler(
    name: SamplerName,
    options: Mapping[str, Any],
    searched: Mapping[str, BaseDistribution],
    key: str = "sweep.sampler",
) -> BaseSampler:
    """The sampler of that name.

    Args:
        name: Which.
        options: Arguments of Optuna's class, `seed` among them: numbers, texts, truth values,
            lists and tables of these.
        searched: What will be searched; a grid is made of it.
        key: Where the user chose it, for the line that refuses it.

    Raises:
        SweepError: An option that the sampler does not have, or that Optuna refuses; a grid over
            a key without end; a package that is not installed.
    """
    kind = _KINDS[name]
    known = _options_of(kind)
    for option in options:
        if option not in known:
            raise SweepError(
                f"{key} {name.value} must have options among {', '.join(sorted(known))}, "
                f"but got {option}."
            )
    arguments = dict.fromkeys(kind.quiet, False) | dict(options)
    if arguments.get("reference_points") is not None:
        arguments["reference_points"] = np.asarray(arguments["reference_points"], dtype=float)
    if name is SamplerName.grid:
        arguments["search_space"] = _grid(searched, key)
    try:
        if name is SamplerName.cmaes:
            # Optuna would miss it only when the second trial is asked for.
            importlib.import_module("cmaes")
        with warnings.catch_warnings():
            # That Optuna calls a sampler experimental is no news to who chose it.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return kind.make(**arguments)
    except ImportError as error:
        raise SweepError(
            f"{key} {name.value} must have its package installed, but got: {error}; "
            f"pip install 'sae-sweep[{name.value}]'."
        ) from None
    except (ValueError, TypeError, AssertionError) as error:
        raise SweepError(
            f"{key} {name.value} must have options that Optuna takes, but got: {error}."
        ) from None


def make_seeded_sampler(
    name: SamplerName,
    options: Mapping[str, Any],
    searched: Mapping[str, BaseDistribution],
    seed: int,
) -> BaseSampler:
    """As `make_sampler`, with random numbers that depend on the trial's number only.

    Args:
        name: Which.
        options: As there; a `seed` among them takes the place of the other.
        searched: As there.
        seed: Of the study.

    Raises:
        SweepError: As there; the seed is no whole number from 0 on.
    """
    own = options.get("seed")
    if own is not None and not (isinstance(own, int) and own >= 0):
        raise SweepError(
            f"sweep.sampler {name.value} must have a whole number from 0 on as its seed, "
            f"but got {own!r}."
        )
    if name in _OF_ONE_ORDER:
        return make_sampler(name, {"seed": seed, **options}, searched)
    return SeededByTrial(
        lambda drawn: make_sampler(name, {**options, "seed": drawn}, searched),
        seed if own is None else own,
    )


_PLAIN = ("int", "float", "bool", "str", "None", "dict", "list", "Sequence", "ndarray")
_NOT_PLAIN = ("Callable", "BaseSampler", "BaseCrossover", "BaseMutation", "FrozenTrial")


def _options_of(kind: _Kind) -> set[str]:
    """Names of the options that are plain data: no function and no object is made from a file."""
    found: set[str] = set()
    for parameter in inspect.signature(kind.make).parameters.values():
        annotation = str(parameter.annotation)
        if any(word in annotation for word in _NOT_PLAIN) or parameter.name == "search_space":
            continue
        if any(word in annotation for word in _PLAIN):
            found.add(parameter.name)
    return found


def _grid(searched: Mapping[str, BaseDistribution], key: str) -> dict[str, list[Any]]:
    grids: dict[str, list[Any]] = {}
    for name, distribution in searched.items():
        values = grid_of(distribution)
        if values is None:
            raise SweepError(
                f"{name} must be a choice or a range with {key} grid, but got an interval."
            )
        grids[name] = list(values)
    return grids
