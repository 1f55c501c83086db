"""Optuna's view of the search: alpha by the root finder, everything else by another sampler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweeper.search.curve_model import DEFAULT_SHAPE, ShapePrior
from sweeper.search.handing_on import HandingOn
from sweeper.search.observations import Observation, Pending
from sweeper.search.posterior import Root
from sweeper.search.prior import PriorComponent
from sweeper.search.root_finder import (
    Beliefs,
    Proposal,
    chance_next_lands,
    propose,
    propose_bracket,
)

ALPHA = "l1_alpha"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """All that one proposal rests on."""

    components: Sequence[PriorComponent]
    """Prior of ln alpha, canonical units (`prior.mixture`)."""
    target: float
    """L0 to aim at, as a count."""
    tolerance: float
    latent_dim: int
    observations: Sequence[Observation] = ()
    """What the trials of this width found."""
    pending: Sequence[Pending] = ()
    """Trials of this width that run at this moment."""
    canonical_factor: float = 1.0
    """`l1_alpha` in the user's units over alpha in canonical units."""
    shape: ShapePrior = DEFAULT_SHAPE
    """Prior of the curve's shape."""
    bracketing: bool = False
    """Whether the cell has landed and wants what its law still lacks (`propose_bracket`)."""

    def propose(self, low: float, high: float) -> Proposal:
        """The next alpha, `low` and `high` bounding `l1_alpha` in the user's units."""
        factor = self.canonical_factor
        root = self._root(log(low / factor), log(high / factor))
        beliefs = Beliefs(components=self.components, shape=self.shape)
        wanted = None
        if self.bracketing:
            wanted = propose_bracket(self.observations, self.pending, beliefs, root)
        return wanted or propose(self.observations, self.pending, beliefs, root)

    def chance_next_lands(self, l1_alpha: float) -> float:
        """Probability that another seed at this alpha, in the user's units, ends in band."""
        ln_alpha = log(l1_alpha / self.canonical_factor)
        beliefs = Beliefs(components=self.components, shape=self.shape)
        root = self._root(ln_alpha - 1, ln_alpha + 1)
        return chance_next_lands(ln_alpha, self.observations, beliefs, root)

    def _root(self, low: float, high: float) -> Root:
        return Root(
            latent_dim=self.latent_dim,
            target=self.target,
            tolerance=self.tolerance,
            bounds=(low, high),
        )


@dataclass(kw_only=True)
class LawSampler(HandingOn):
    """Proposes `l1_alpha` from the law; delegates every other parameter.

    Args:
        problem: Gives what the next proposal rests on, at the moment it is asked for, for the
            other searched keys at these values.
        others: Optuna's sampler for everything else.
    """

    problem: Callable[[Mapping[str, Any]], Problem]
    others: BaseSampler = field(default_factory=TPESampler)
    proposal: Proposal | None = None
    """The last one made, with what it predicts."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What `others` samples jointly; alpha is not among it."""
        space = self.others.infer_relative_search_space(study, trial)
        return {name: value for name, value in space.items() if name != ALPHA}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Alpha by the root finder, anything else by `others`."""
        if param_name != ALPHA or not isinstance(param_distribution, FloatDistribution):
            return self.others.sample_independent(study, trial, param_name, param_distribution)
        problem = self.problem({key: v for key, v in trial.params.items() if key != ALPHA})
        self.proposal = problem.propose(param_distribution.low, param_distribution.high)
        alpha = exp(self.proposal.ln_alpha) * problem.canonical_factor
        return min(max(alpha, param_distribution.low), param_distribution.high)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Forgets the last proposal: a given alpha has none."""
        self.proposal = None
        self.others.before_trial(study, trial)

    def predicted(self) -> Mapping[str, Any]:
        """What the last proposal expects, by the names of the trial record."""
        if self.proposal is None:
            return {}
        return {
            "predicted_l0": exp(self.proposal.predicted_ln_l0),
            "predicted_l0_sd": self.proposal.predicted_ln_l0_sd,
            "prior_weights": dict(self.proposal.weights),
        }
