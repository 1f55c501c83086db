"""Claims 12 to 17: how many latents are active, alive and dead."""

import math

from analysis import guide
from analysis.audit.evidence import Claim, Evidence, Outcome
from analysis.thresholds import default_thresholds

_STATED_ACTIVE = 7556  # "Active Neurons ... Job 1: 7,556"
_DEAD_BEHIND_THE_COLUMN = 0.90
# The guide's ranges for dead latents, by the place where each stands.
_DEAD_RANGES = {
    "all successful runs": (0.60, 0.90),
    "expected outcomes": (0.85, 0.90),
    "success criteria": (0.70, 0.95),
    "quick reference": (0.70, 0.90),
}


def active_column(_: Evidence) -> Claim:
    """Claim 12: the "active neurons" are twice 5 %, and fit alive latents instead."""
    rows = guide.COMMON_CONFIGURATIONS
    ratios = [row.expected_active / (row.expected_l0 * row.latent_dim) for row in rows]
    alive = [(1 - _DEAD_BEHIND_THE_COLUMN) * row.latent_dim for row in rows]
    fits = all(
        math.isclose(row.expected_active, count, rel_tol=0.05)
        for row, count in zip(rows, alive, strict=True)
    )
    counts = "/".join(f"{row.expected_l0 * row.latent_dim:.0f}" for row in rows)
    printed = "/".join(f"{row.expected_active}" for row in rows)
    alive_text = "/".join(f"{count:.0f}" for count in alive)
    return Claim(
        number=12,
        claim=f"at L0 5 % the active neurons are {printed}",
        source="Common Configurations",
        recomputed=f"5 % is {counts}; the column is {min(ratios):.2f} to {max(ratios):.2f} times "
        f"that" + (f", and fits the latents alive at 90 % dead ({alive_text})" if fits else ""),
        outcome=Outcome.inconsistent if min(ratios) > 1.1 else Outcome.holds,
        numbers={"ratio_low": min(ratios), "ratio_high": max(ratios)},
    )


def alive_share(evidence: Evidence) -> Claim:
    """Claim 13: 7,556 and 88.5 % agree, and mean that 43 % of the alive latents fire."""
    job = evidence.jobs[1]
    alive = _STATED_ACTIVE / job.latent_dim
    agrees = abs(1 - alive - job.dead) <= 0.0005
    firing = job.l0_count / _STATED_ACTIVE
    shares = [
        point.l0_fraction / (1 - point.dead_fraction)
        for point in guide.CHECKPOINTS
        if point.job == 1
    ]
    rise = " to ".join(f"{100 * share:.0f} %" for share in shares)
    return Claim(
        number=13,
        claim="job 1 has 7,556 active neurons and 88.5 % dead",
        source="Quick Reference Table",
        recomputed=f"{_STATED_ACTIVE} of {job.latent_dim} is {100 * alive:.2f} % alive, "
        f"{100 * (1 - alive):.3f} % dead, so 'active' means alive. Then {job.l0_count:.0f} of "
        f"them fire on a token, {100 * firing:.0f} %; that share rose from {rise} over its "
        "checkpoints: not a sparse code over the latents that live",
        outcome=Outcome.holds if agrees else Outcome.inconsistent,
        numbers={"dead_from_alive": 1 - alive, "alive_firing": firing},
    )


def perfect_target(evidence: Evidence) -> Claim:
    """Claim 14: 5 % of the latents is more than the input has dimensions."""
    settings = guide.COMPLETE_SETTINGS["65k"]
    count = evidence.target * settings.latent_dim
    ratio = count / settings.hidden_dim
    return Claim(
        number=14,
        claim="L0 5 % is perfect",
        source="Key Findings 1",
        recomputed=f"{count:.0f} active latents for {settings.hidden_dim} dimensions, "
        f"{ratio:.1f} times as many, at every width of the table. A lasso solution has at most "
        f"d_in non-zeros, here {100 / guide.EXPANSION_RATIO:.3f} %",
        outcome=Outcome.unsupported if ratio > 1 else Outcome.holds,
        numbers={"active_per_input_dimension": ratio, "lasso_ceiling": 1 / guide.EXPANSION_RATIO},
    )


def successful_runs(evidence: Evidence) -> Claim:
    """Claim 15: one run succeeded."""
    within = default_thresholds().guide.l0_success
    good = [
        number
        for number, job in evidence.jobs.items()
        if abs(job.l0 / evidence.target - 1) <= within
    ]
    listed = ", ".join(f"job {number}" for number in good) or "none"
    return Claim(
        number=15,
        claim="all successful training runs showed 60-90 % dead neurons",
        source="Key Findings 3",
        recomputed=f"{len(good)} of {len(evidence.jobs)} runs met the L0 criterion ({listed}): "
        "no range can come from it",
        outcome=Outcome.unsupported if len(good) < 2 else Outcome.holds,
        numbers={"successful_runs": len(good)},
    )


def dead_ranges(_: Evidence) -> Claim:
    """Claim 16: four ranges for the same quantity, and a hole between two criteria."""
    limits = default_thresholds().guide
    listed = ", ".join(
        f"{100 * low:g}-{100 * high:g} % ({place})" for place, (low, high) in _DEAD_RANGES.items()
    )
    hole = f"{100 * limits.dead_failure:g} to {100 * limits.dead_success_low:g} %"
    return Claim(
        number=16,
        claim="dead neurons: what is good",
        source="Key Findings 3; Validation Metrics; Quick Reference Table",
        recomputed=f"{len(set(_DEAD_RANGES.values()))} ranges: {listed}; {hole} is unclassified; "
        f"'lower is better', yet below {100 * limits.dead_failure:g} % fails, so a run whose "
        "latents nearly all live fails; the guide's own resampling goal, 90 % to 70 %, ends on "
        "the edge of success",
        outcome=Outcome.inconsistent if len(set(_DEAD_RANGES.values())) > 1 else Outcome.holds,
        numbers={"ranges": len(set(_DEAD_RANGES.values()))},
    )


def active_wanted(_: Evidence) -> Claim:
    """Claim 17: 5,000 alive latents against 70 to 95 % dead, by width."""
    limits = default_thresholds().guide
    widths = [row.latent_dim for row in guide.COMMON_CONFIGURATIONS]
    alive = [(1 - limits.dead_success_high) * width for width in widths]
    needed = {width: 1 - limits.alive_success / width for width in widths}
    impossible = [width for width, dead in needed.items() if dead < limits.dead_success_low]
    counts = "/".join(f"{count:.0f}" for count in alive)
    most = ", ".join(f"{100 * dead:.1f} % at {width}" for width, dead in needed.items())
    listed = ", ".join(str(width) for width in impossible)
    return Claim(
        number=17,
        claim="more than 5,000 active neurons, with 70-95 % dead",
        source="Quick Reference Table; Validation Metrics",
        recomputed=f"at 95 % dead {counts} live; 5,000 need at most {most} dead"
        + (f": impossible together with 70 % at {listed}" if impossible else ""),
        outcome=Outcome.inconsistent if impossible else Outcome.holds,
        numbers={f"most_dead_{width}": dead for width, dead in needed.items()},
    )


CLAIMS = (active_column, alive_share, perfect_target, successful_runs, dead_ranges, active_wanted)
