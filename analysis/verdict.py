"""Whether a finished trial may be used, by this project's own criteria.

Pure functions of the trial record and the thresholds; nothing is read, nothing is trained. The
guide's criteria are in `analysis.guide_verdict`. They cannot see a collapsed SAE, whose L0 sits on
the target while it reconstructs nothing (fvu near 1); these can.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from analysis.errors import AnalysisError
from analysis.records import AlphaMode, State, VerdictLevel, is_missing
from analysis.thresholds import OwnThresholds, Thresholds, default_thresholds
from analysis.units import target_count

_SEVERITY: Final = {VerdictLevel.success: 0, VerdictLevel.warning: 1, VerdictLevel.failure: 2}
# ln(1.05 * T / T) is above ln(1.05) by rounding for some T; the edge of the band is in band.
ROUNDING: Final = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the criteria say about one trial."""

    level: VerdictLevel
    """The worst level among the reasons."""
    reasons: tuple[str, ...]
    """One sentence each, worst first, each beginning with its level, "advice" or "note"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One criterion that a trial did not meet."""

    level: VerdictLevel
    """How bad it is; `success` for a remark that changes nothing."""
    text: str
    """One sentence with the value and the limit."""


def judge(record: Mapping[str, Any], thresholds: Thresholds | None = None) -> Verdict:
    """Judges a trial by our own criteria.

    Args:
        record: The trial record (`analysis.records.COLUMNS`), or a row of a trial table. Missing
            and NaN values are named as such: what is not recorded makes no success.
        thresholds: The limits; the packaged ones by default.

    Returns:
        `failure` for a run that diverged or failed, collapsed, missed the target by a factor of
        two (with the controller: the band) or killed nearly all latents; `warning` for less, for a
        run not finished and for
        anything that cannot be judged; otherwise `success`.
    """
    own = (thresholds or default_thresholds()).own
    ended = judge_state(record)
    if ended is not None:
        return verdict_of([ended])
    findings = [
        *_judge_l0(record, own),
        *_judge_convergence(record),
        *_judge_oscillation(record, own),
        *_judge_threshold_travel(record, own),
        *_judge_reconstruction(record, own),
        *_judge_dead(record, own),
        *_judge_alive_firing(record, own),
        *_judge_outliers(record, own),
    ]
    return verdict_of(findings, _memory_note(record))


def why_useless(
    record: Mapping[str, Any], thresholds: Thresholds | None = None
) -> tuple[str, ...]:
    """Why a run's SAE is of no use, whatever its target: it collapsed, or nearly all is dead.

    Args:
        record: As for `judge`. What is not recorded says nothing here.
        thresholds: The limits; the packaged ones by default.

    Returns:
        One sentence for each reason; none for an SAE that may be used.
    """
    own = (thresholds or default_thresholds()).own
    findings = [*_judge_reconstruction(record, own), *_judge_dead(record, own)]
    return tuple(each.text for each in findings if each.level is VerdictLevel.failure)


def verdict_of(findings: Iterable[Finding], remarks: Iterable[str] = ()) -> Verdict:
    """Joins findings, worst first; the worst one is the verdict.

    Args:
        findings: Criteria not met.
        remarks: Sentences that change nothing and come last, for example advice.
    """
    ordered = sorted(findings, key=lambda finding: -_SEVERITY[finding.level])
    level = ordered[0].level if ordered else VerdictLevel.success
    reasons = tuple(f"{finding.level}: {finding.text}" for finding in ordered)
    return Verdict(level=level, reasons=reasons + tuple(remarks))


def judge_state(record: Mapping[str, Any]) -> Finding | None:
    """The finding about a run that did not reach its end, or None for a complete one.

    Raises:
        AnalysisError: The record has no state, or one that does not exist.
    """
    text = record.get("state")
    try:
        state = State(str(text))
    except ValueError:
        listed = ", ".join(State)
        raise AnalysisError(f"state must be one of {listed}, but got {text!r}.") from None
    if state is State.complete:
        return None
    done, planned = known(record, "steps_done"), known(record, "total_steps")
    progress = (
        "" if done is None or planned is None else f" after {done:.0f} of {planned:.0f} steps"
    )
    if state is State.diverged:
        why = record.get("stop_reason") or "the reason is not recorded"
        return failure(f"diverged{progress}: {why}")
    if state is State.failed:
        return failure(f"failed{progress}: the run ended with an error")
    if state is State.pruned and record.get("stop_reason"):
        return warning(f"pruned{progress}: {record['stop_reason']}")
    return warning(f"{state}{progress}: an unfinished run is not judged")


def known(record: Mapping[str, Any], key: str) -> float | None:
    """A number of the record, or None where it is missing, null or NaN."""
    value = record.get(key)
    return None if value is None or is_missing(value) else float(value)


def target_of(record: Mapping[str, Any]) -> float | None:
    """The record's target as a number of latents, or None where it is not recorded.

    Topk's is the k that it was trained with: a whole number for each token, at least one.

    Raises:
        AnalysisError: The target lies outside (0, latent_dim].
    """
    target, latent_dim = known(record, "target_l0"), known(record, "latent_dim")
    if target is None or (latent_dim is None and target < 1):
        return None
    count = target if latent_dim is None else target_count(target, int(latent_dim))
    return max(1, round(count)) if record.get("architecture") == "topk" else count


def warning(text: str) -> Finding:
    """A finding that makes the verdict a warning at least."""
    return Finding(level=VerdictLevel.warning, text=text)


def failure(text: str) -> Finding:
    """A finding that makes the verdict a failure."""
    return Finding(level=VerdictLevel.failure, text=text)


def _judge_l0(record: Mapping[str, Any], own: OwnThresholds) -> list[Finding]:
    l0, target = known(record, "l0"), target_of(record)
    if l0 is None:
        return [warning("l0 is not recorded, so the target cannot be judged")]
    if not math.isfinite(l0):
        return [failure("l0 is not finite")]
    if l0 <= 0:
        return [failure("L0 is 0: no latent fires")]
    if target is None:
        return [warning("target_l0 is not recorded, so L0 cannot be judged")]
    error = abs(math.log(l0 / target))
    if error <= math.log1p(own.tolerance) + ROUNDING:
        return []
    low, high = target / (1 + own.tolerance), target * (1 + own.tolerance)
    text = f"L0 {l0:.4g} is {l0 / target:.3g} times its target {target:.4g}"
    if error > math.log(own.l0_factor_failure) + ROUNDING:
        return [failure(f"{text}, more than a factor of {own.l0_factor_failure:g} away")]
    text += f", out of the band {low:.4g} to {high:.4g}"
    if record.get("alpha_mode") == AlphaMode.controlled:
        return [failure(f"{text}: the controller did not reach it")]
    return [warning(text)]


def _judge_convergence(record: Mapping[str, Any]) -> list[Finding]:
    converged = record.get("converged")
    if is_missing(converged):
        return [warning("converged is not recorded, so L0 may still be moving")]
    if not converged:
        return [warning("L0 has not settled: it moved 5 % or more over the last 5 % of the steps")]
    return []


def _judge_oscillation(record: Mapping[str, Any], own: OwnThresholds) -> list[Finding]:
    """Silent where not recorded: other trainers do not measure it."""
    spread = known(record, "loss_oscillation")
    if spread is None or spread < own.oscillation_warning:
        return []
    limit = f"limit {100 * own.oscillation_warning:g} %"
    return [warning(f"the loss oscillates by {100 * spread:.1f} % about its trend, {limit}")]


def _judge_threshold_travel(record: Mapping[str, Any], own: OwnThresholds) -> list[Finding]:
    """Silent where not recorded: only JumpReLU has thresholds."""
    travel = known(record, "threshold_travel")
    if travel is None or travel < own.threshold_travel_warning:
        return []
    return [
        warning(
            f"JumpReLU's thresholds moved {100 * travel:.0f} % of the way that one learning rate "
            f"a step makes, limit {100 * own.threshold_travel_warning:g} %: the rate sets L0, not "
            "alpha; raise sae.jumprelu.threshold_rate_factor or trainer.total_steps"
        )
    ]


def _judge_reconstruction(record: Mapping[str, Any], own: OwnThresholds) -> list[Finding]:
    fvu = known(record, "fvu")
    if fvu is None:
        return [warning("fvu is not recorded, so a collapse cannot be ruled out")]
    if not math.isfinite(fvu):
        return [failure("fvu is not finite")]
    if fvu >= own.fvu_failure:
        return [failure(f"collapsed: fvu {fvu:.3f}, from {own.fvu_failure:g} on nothing is left")]
    if fvu >= own.fvu_warning:
        return [warning(f"poor reconstruction: fvu {fvu:.3f}, limit {own.fvu_warning:g}")]
    return []


def _judge_dead(record: Mapping[str, Any], own: OwnThresholds) -> list[Finding]:
    dead = known(record, "dead_fraction")
    if dead is None:
        return [warning("dead_fraction is not recorded, so wasted capacity cannot be judged")]
    text = f"{100 * dead:.1f} % of the latents are dead"
    if dead > own.dead_failure:
        return [failure(f"{text}, limit {100 * own.dead_failure:g} %")]
    if dead > own.dead_warning:
        return [warning(f"{text}, limit {100 * own.dead_warning:g} %")]
    return []


def _memory_note(record: Mapping[str, Any]) -> list[str]:
    """Says that memory was short, which changes nothing but the time."""
    batch, at_once = known(record, "batch_size"), known(record, "micro_batch")
    if batch is None or at_once is None or at_once >= batch:
        return []
    return [
        f"note: memory was short, so gradients were summed over parts of {at_once:.0f} "
        f"of the batch's {batch:.0f} tokens: the same mathematics"
    ]


def _judge_alive_firing(record: Mapping[str, Any], own: OwnThresholds) -> list[Finding]:
    """Sees a code that is sparse only because most latents are dead; silent where not recorded."""
    firing = known(record, "l0_alive_fraction")
    if firing is None or firing <= own.alive_firing_warning:
        return []
    limit = f"{100 * own.alive_firing_warning:g} %"
    return [warning(f"{100 * firing:.0f} % of the alive latents fire on a token, limit {limit}")]


def _judge_outliers(record: Mapping[str, Any], own: OwnThresholds) -> list[Finding]:
    """Sees numbers that are those of few rows; silent where not recorded."""
    share = known(record, "outlier_share")
    if share is None or share <= own.outlier_share_warning:
        return []
    return [
        warning(
            f"rows above 10 times the median norm hold {100 * share:.0f} % of the squared norm, "
            f"limit {100 * own.outlier_share_warning:g} %: alpha, L0 and fvu are about those; "
            "outlier_norm=10 leaves them out"
        )
    ]
