"""What trials say about the curve L0(alpha): records become observations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.records import AlphaMode, State
from analysis.units import target_count
from sweeper.booked_trial import BookedTrial
from sweeper.distributions import Value
from sweeper.search.observations import SEED_NOISE_SD, Observation, Relation, observe

BUDGET_KEYS = frozenset({"trainer.learning_rate", "trainer.total_steps"})
"""Searched keys whose effect on alpha the budget term knows."""
KnownObservations = dict[tuple[int, float | None], Observation | None]
"""By the number of an ended trial, and the target that it was held against."""
OTHER_RECIPE_SD = 0.15
"""sd that a run of another recipe adds to ln L0: assumption."""


def observations(
    trials: Sequence[BookedTrial],
    target: float | None = None,
    params: Mapping[str, Value] | None = None,
    known: KnownObservations | None = None,
) -> list[Observation]:
    """What the trials found, those left out that say nothing.

    Args:
        trials: Ended trials, or not yet.
        target: The target, as a count, that a diverged run is held against; None leaves such
            runs out.
        params: The searched keys of the run to come. Trials that differ in another key than the
            budget's count with a wider sd, and what ended a run there ends none here.
        known: What was found before in the same study, which is added to: an ended trial always
            says the same. With 10,000 trials that is half the time of a proposal (measured:
            python -m benchmarks.startup).
    """
    known = {} if known is None else known
    found: list[Observation] = []
    for trial in trials:
        if trial.record is None:
            continue
        other = _differing(trial.params, params or {})
        held_against = None if other else target
        key = (trial.number, held_against)
        if key not in known:
            known[key] = observed(trial.record, held_against)
        observation = known[key]
        if observation is not None:
            found.append(_widened(observation) if other - BUDGET_KEYS else observation)
    return found


def _differing(one: Mapping[str, Value], two: Mapping[str, Value]) -> set[str]:
    return {key for key in (*one, *two) if one.get(key) != two.get(key)}


def _widened(observation: Observation) -> Observation:
    return replace(observation, noise_sd=math.hypot(observation.noise_sd, OTHER_RECIPE_SD))


def observed(record: Mapping[str, Any], target: float | None = None) -> Observation | None:
    """What a record says about its width's curve; None where it says nothing.

    A run without alpha lies at no finite ln alpha, and where alpha was steered L0 depends on its
    whole path. A pruned run has a projected L0 with the projection's sd, or says on which side of
    its own target it would have ended. A diverged or collapsed run has no L0; for a target it
    says that alpha is too large (assumption: what the penalty broke, more of it does not mend).

    Args:
        record: A trial's.
        target: The target, as a count, that a diverged run is held against; None leaves bounds
            out.
    """
    if not (record.get("alpha_canonical") or 0) > 0:
        return None
    if record.get("alpha_mode") == AlphaMode.controlled:
        return None
    if record["state"] == State.complete:
        return None if record.get("l0") is None else _measured(record)
    found = _ended(record, target)
    if found is None:
        return None
    relation, count, noise_sd = found
    return _with_recipe(
        record,
        Observation(
            ln_alpha=math.log(record["alpha_canonical"]),
            latent_dim=int(record["latent_dim"]),
            ln_l0=math.log(count),
            relation=relation,
            noise_sd=noise_sd,
            is_complete=record["state"] != State.pruned,
        ),
    )


def _measured(record: Mapping[str, Any]) -> Observation:
    found = observe(
        ln_alpha=math.log(record["alpha_canonical"]),
        latent_dim=int(record["latent_dim"]),
        l0=record["l0"],
        held_out_tokens=record.get("held_out_tokens"),
    )
    return _with_recipe(record, found)


def _ended(
    record: Mapping[str, Any], target: float | None
) -> tuple[Relation, float, float] | None:
    """Where the L0 of a run that was ended would have been, its count, and the sd of its ln."""
    if record["state"] == State.diverged and target is not None:
        return Relation.below, target, SEED_NOISE_SD
    if record["state"] != State.pruned:
        return None
    if record.get("projected_l0") and record.get("projected_l0_sd"):
        noise = math.hypot(SEED_NOISE_SD, record["projected_l0_sd"])
        return Relation.equal, record["projected_l0"], noise
    if target is None or record.get("l0_bound") not in ("above", "below"):
        return None
    own = target_count(record["target_l0"], int(record["latent_dim"]))
    return Relation(record["l0_bound"]), own, SEED_NOISE_SD


def _with_recipe(record: Mapping[str, Any], observation: Observation) -> Observation:
    return replace(
        observation,
        seed=record.get("seed") or 0,
        learning_rate=record.get("learning_rate"),
        total_steps=record.get("total_steps"),
    )
