"""Whether a trial passes by the guide's own criteria, with its gaps and its advice stated.

The guide's "Validation Metrics", "Quick Reference Table" and "Early Warning Signs", quoted limit
by limit in `thresholds.yaml`. Its loss thresholds are held against loss / d_in, and its "10k
steps" (of 100k) against a tenth of the run. The result stands beside our own verdict and decides
nothing by itself.
"""

import math
from collections.abc import Mapping
from typing import Any

from analysis.guide import fine_tuning_advice
from analysis.thresholds import GuideThresholds, Thresholds, default_thresholds
from analysis.verdict import (
    ROUNDING,
    Finding,
    Verdict,
    failure,
    judge_state,
    known,
    target_of,
    verdict_of,
    warning,
)


def judge_by_guide(record: Mapping[str, Any], thresholds: Thresholds | None = None) -> Verdict:
    """Judges a trial as the guide would.

    Args:
        record: The trial record, and `loss_change`, the relative change of the loss over the last
            tenth of the run (below 0 it fell), where it is known. What is missing is named, not
            guessed.
        thresholds: The limits; the packaged ones by default.

    Returns:
        The verdict; its reasons end in the guide's fine-tuning advice. A value in one of the
        guide's gaps (loss / d_in 0.03 to 1, L0 error 10 to 20 %, 50 to 70 % dead, loss changing
        by 1 % or more) is no success, so it is a warning that says so.
    """
    limits = (thresholds or default_thresholds()).guide
    ended = judge_state(record)
    if ended is not None:
        return verdict_of([ended])
    findings = [
        *_judge_loss(record, limits),
        *_judge_l0(record, limits),
        *_judge_dead(record, limits),
        *_judge_loss_change(record, limits),
        *_judge_oscillation(record, limits),
        *_judge_alive(record, limits),
    ]
    return verdict_of(findings, _remarks(record, limits))


def early_warnings(
    row: Mapping[str, Any], thresholds: Thresholds | None = None
) -> tuple[str, ...]:
    """The guide's reasons to stop a run under way, none of them before a tenth of its steps.

    Args:
        row: `steps_done`, `total_steps`, and as far as known `loss`, `d_in`, `l0`, `target_l0`,
            `latent_dim`, `dead_fraction`.
        thresholds: The limits; the packaged ones by default.

    Returns:
        One sentence a sign; the guide stops at any of them and raises alpha "significantly".
    """
    limits = (thresholds or default_thresholds()).early
    done, planned = known(row, "steps_done"), known(row, "total_steps")
    if done is None or planned is None or done < limits.share * planned:
        return ()
    signs: list[str] = []
    loss = loss_per_input(row)
    if loss is not None and not loss <= limits.loss:
        signs.append(f"loss / d_in {loss:.4g} is above {limits.loss:g}")
    l0, target = known(row, "l0"), target_of(row)
    if l0 is not None and target is not None and l0 > limits.l0_factor * target:
        signs.append(f"L0 {l0:.4g} is above {limits.l0_factor:g} times its target {target:.4g}")
    dead = known(row, "dead_fraction")
    if dead is not None and dead < limits.dead:
        signs.append(f"{100 * dead:.1f} % dead is below {100 * limits.dead:g} %")
    return tuple(signs)


def loss_per_input(record: Mapping[str, Any]) -> float | None:
    """Loss / d_in, what the guide's loss thresholds are held against; None where not recorded."""
    loss, d_in = known(record, "loss"), known(record, "d_in")
    return None if loss is None or d_in is None else loss / d_in


def _judge_loss(record: Mapping[str, Any], limits: GuideThresholds) -> list[Finding]:
    loss = loss_per_input(record)
    if loss is None:
        return [warning("loss or d_in is not recorded, so the loss cannot be judged")]
    if not loss <= limits.loss_failure:
        return [failure(f"loss / d_in {loss:.4g} is above {limits.loss_failure:g}")]
    if loss >= limits.loss_success:
        between = f"between success (below {limits.loss_success:g}) and failure"
        return [warning(f"loss / d_in {loss:.4g} is {between}: a gap of the guide")]
    return []


def _judge_l0(record: Mapping[str, Any], limits: GuideThresholds) -> list[Finding]:
    l0, target = known(record, "l0"), target_of(record)
    if l0 is None or target is None:
        return [warning("l0 or target_l0 is not recorded, so L0 cannot be judged")]
    ratio = l0 / target
    error, factor = abs(ratio - 1), limits.l0_factor_failure
    text = f"L0 {l0:.4g} is {ratio:.3g} times its target {target:.4g}"
    if not (1 / factor) - ROUNDING <= ratio <= factor + ROUNDING:
        return [failure(f"{text}, beyond {1 / factor:g} to {factor:g} times")]
    if error > limits.l0_warning + ROUNDING:
        return [warning(f"{text}, an error above {100 * limits.l0_warning:g} %")]
    if error > limits.l0_success + ROUNDING:
        span = f"{100 * limits.l0_success:g} to {100 * limits.l0_warning:g} %"
        return [warning(f"{text}, an error of {span}: a gap of the guide")]
    return []


def _judge_dead(record: Mapping[str, Any], limits: GuideThresholds) -> list[Finding]:
    dead = known(record, "dead_fraction")
    if dead is None:
        return [warning("dead_fraction is not recorded, so dead latents cannot be judged")]
    text = f"{100 * dead:.1f} % dead"
    if dead < limits.dead_failure:
        return [failure(f"{text} is below {100 * limits.dead_failure:g} %")]
    if dead > limits.dead_success_high:
        return [warning(f"{text} is above {100 * limits.dead_success_high:g} %")]
    if dead < limits.dead_success_low:
        span = f"{100 * limits.dead_failure:g} to {100 * limits.dead_success_low:g} %"
        return [warning(f"{text} is within {span}: a gap of the guide")]
    return []


def _judge_loss_change(record: Mapping[str, Any], limits: GuideThresholds) -> list[Finding]:
    change = known(record, "loss_change")
    if change is None:
        return [warning("loss_change is not recorded, so convergence cannot be judged")]
    text = f"the loss changed by {100 * change:+.2g} % over the last tenth of the run"
    if change > limits.loss_change_warning:
        return [failure(f"{text}, upwards: it diverged")]
    if change < -limits.loss_change_warning:
        return [warning(f"{text}: it is still falling rapidly")]
    if abs(change) >= limits.loss_change_success:
        return [warning(f"{text}, not below {100 * limits.loss_change_success:g} %")]
    return []


def _judge_oscillation(record: Mapping[str, Any], limits: GuideThresholds) -> list[Finding]:
    spread = known(record, "loss_oscillation")
    if spread is None or spread < limits.loss_oscillation_failure:
        return []
    limit = f"limit {100 * limits.loss_oscillation_failure:g} %"
    return [failure(f"the loss oscillates by {100 * spread:.1f} % about its trend, {limit}")]


def _judge_alive(record: Mapping[str, Any], limits: GuideThresholds) -> list[Finding]:
    alive = known(record, "alive")
    if alive is None:
        return [warning("alive is not recorded, so active latents cannot be judged")]
    if alive <= limits.alive_success and _alive_is_satisfiable(record, limits):
        return [warning(f"{alive:.0f} latents are alive, not above {limits.alive_success:g}")]
    return []


def _alive_is_satisfiable(record: Mapping[str, Any], limits: GuideThresholds) -> bool:
    """Whether enough latents can be alive while as many are dead as the guide wants."""
    latent_dim = known(record, "latent_dim")
    if latent_dim is None:
        return True
    return latent_dim * (1 - limits.dead_success_low) > limits.alive_success


def _remarks(record: Mapping[str, Any], limits: GuideThresholds) -> list[str]:
    remarks = _time_remarks(record, limits)
    alive, alpha = known(record, "alive"), known(record, "l1_alpha")
    if alive is not None and not _alive_is_satisfiable(record, limits):
        share = f"{100 * limits.dead_success_low:g} % dead"
        remarks.append(
            f"note: more than {limits.alive_success:g} alive latents and {share} "
            f"cannot both be had at width {known(record, 'latent_dim'):.0f}"
        )
    if alpha is None:
        return [*remarks, "note: l1_alpha is not recorded, so there is no advice on it"]
    l0, target = known(record, "l0"), target_of(record)
    ratio = math.nan if l0 is None or target is None else l0 / target
    dead = known(record, "dead_fraction")
    advice = fine_tuning_advice(
        alpha, l0_ratio=ratio, dead_fraction=math.nan if dead is None else dead
    )
    return remarks + [f"advice: {sentence}" for sentence in advice]


def _time_remarks(record: Mapping[str, Any], limits: GuideThresholds) -> list[str]:
    seconds = known(record, "wall_s")
    if seconds is None or limits.hours_low <= seconds / 3600 <= limits.hours_high:
        return []
    span = f"{limits.hours_low:g} to {limits.hours_high:g}"
    return [f"note: training took {seconds / 3600:.2g} h; the guide's {span} h are its GPU's"]
