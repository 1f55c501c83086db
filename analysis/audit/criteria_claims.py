"""Claims 18 to 24: tolerances, fine-tuning and the criteria for a good run."""

import math

from scipy.optimize import root_scalar

from analysis import guide
from analysis.audit.evidence import Claim, Evidence, Outcome
from analysis.thresholds import default_thresholds

_FINE_STEP = 0.01  # "l1_alpha: 0.10 # +-0.01 for fine-tuning"
_STATED_L0 = (0.049, 0.051)  # "final_l0: ~4.9-5.1%"
_STATED_WITHIN = 0.005  # "Within 0.5% of target"


def tolerances(evidence: Evidence) -> Claim:
    """Claim 18: "within 0.5 % of target" is not what it says."""
    relative = _STATED_L0[1] / evidence.target - 1
    limits = default_thresholds().guide
    others = f"{100 * limits.l0_success:g} % (success) and {100 * limits.l0_warning:g} % (warning)"
    agrees = math.isclose(relative, _STATED_WITHIN, rel_tol=0.1)
    return Claim(
        number=18,
        claim="final L0 4.9-5.1 %, within 0.5 % of target",
        source="Complete Optimal Settings",
        recomputed=f"0.1 percentage points of 5 % are {100 * relative:.1f} %: "
        f"a third tolerance beside {others}",
        outcome=Outcome.holds if agrees else Outcome.inconsistent,
        numbers={"relative_tolerance": relative},
    )


def fine_tuning_step(evidence: Evidence) -> Claim:
    """Claim 19: what +-0.01 does by the guide's own curve."""
    curve = evidence.curve
    up, down = math.expm1(-curve.rate * _FINE_STEP), math.expm1(curve.rate * _FINE_STEP)
    elasticity = -curve.rate * curve.alpha(evidence.target)
    band = [curve.alpha(evidence.target * factor) for factor in (1.1, 0.9)]
    fits_band = band[0] <= guide.BASE_L1_ALPHA - _FINE_STEP
    fits_band = fits_band and band[1] >= guide.BASE_L1_ALPHA + _FINE_STEP
    fits_narrow = max(-up, down) <= _STATED_L0[1] / evidence.target - 1
    return Claim(
        number=19,
        claim="alpha 0.10 +-0.01 for fine-tuning",
        source="Complete Optimal Settings",
        recomputed=f"by the curve L0 moves by {100 * up:+.1f} % or {100 * down:+.1f} % "
        f"(elasticity {elasticity:.2f}); the 10 % band is alpha {band[0]:.4f} to {band[1]:.4f}: "
        f"{'inside' if fits_band else 'outside'} it, "
        f"{'and' if fits_narrow else 'but not'} within the 2 % of final_l0",
        outcome=Outcome.holds if fits_band and fits_narrow else Outcome.inconsistent,
        numbers={"up": up, "down": down, "elasticity": elasticity}
        | {"band_low": band[0], "band_high": band[1]},
    )


def steps_needed(evidence: Evidence) -> tuple[int, int]:
    """Steps of 30 % and of 20 % from job 4's alpha to the curve's for the target."""
    distance = math.log(evidence.curve.alpha(evidence.target) / evidence.jobs[4].l1_alpha)
    fewest, most = (math.ceil(distance / math.log1p(step)) for step in (0.30, 0.20))
    return fewest, most


def percent_steps(evidence: Evidence) -> Claim:
    """Claim 20: steps of 20 to 30 % mend errors of about 10 %, no more."""
    curve, base = evidence.curve, guide.BASE_L1_ALPHA
    falls = [-math.expm1(-curve.rate * base * step) for step in guide.ALPHA_STEP]
    factor = (base + math.log(2) / curve.rate) / base
    reachable = curve.alpha(evidence.target) > evidence.jobs[4].l1_alpha
    steps = steps_needed(evidence) if reachable else (0, 0)
    return Claim(
        number=20,
        claim="L0 too high: increase alpha by 20-30 %",
        source="Fine-Tuning L1 Alpha",
        recomputed=f"by the curve L0 falls by {100 * falls[0]:.1f} to {100 * falls[1]:.1f} %, "
        f"so it mends errors up to that; halving L0 needs {factor:.1f} times alpha, "
        f"and job 4 would need {steps[0]} to {steps[1]} such runs",
        outcome=Outcome.unsupported if falls[1] < 0.5 else Outcome.holds,
        numbers={"fall_low": falls[0], "fall_high": falls[1], "halving_factor": factor}
        | {"runs_fewest": steps[0], "runs_most": steps[1]},
    )


def unused_target(evidence: Evidence) -> Claim:
    """Claim 21: the function's second argument does nothing."""
    widths = [row.latent_dim for row in guide.COMMON_CONFIGURATIONS]
    same = all(
        guide.calculate_optimal_l1_alpha(width, 0.01) == guide.calculate_optimal_l1_alpha(width)
        for width in widths
    )
    alpha = evidence.curve.alpha(evidence.target)
    return Claim(
        number=21,
        claim="calculate_optimal_l1_alpha(latent_dim, target_l0) takes a target",
        source="Formula",
        recomputed=("target_l0 is never used" if same else "target_l0 is used")
        + f"; the guide's own curve would give {alpha:.5f} for 5 %",
        outcome=Outcome.refuted if same else Outcome.holds,
        numbers={"alpha_at_target": alpha},
    )


def early_stop(evidence: Evidence) -> Claim:
    """Claim 22: "L0 > 10x target" hardly fires on the failed runs."""
    limit = default_thresholds().early.l0_factor * evidence.target
    points = [point for point in guide.CHECKPOINTS if point.job == 2]
    fired = [point for point in points if point.l0_fraction > limit]
    job = evidence.jobs[4]
    misses = len(fired) < len(points) or job.l0 <= limit
    return Claim(
        number=22,
        claim="stop when L0 is above 10 times the target",
        source="Early Warning Signs",
        recomputed=f"that is L0 above {100 * limit:g} %: of job 2's {len(points)} checkpoints it "
        f"fires at {len(fired)}; job 4, failed with {100 * job.l0:.1f} %, "
        f"{'never fires' if job.l0 <= limit else 'fires'}. Loss and dead latents carry the rule",
        outcome=Outcome.unsupported if misses else Outcome.holds,
        numbers={"limit": limit, "fired": len(fired)},
    )


def dead_during_training(_: Evidence) -> Claim:
    """Claim 23: the good run itself had fewer than 50 % dead at first."""
    limit = default_thresholds().guide.dead_failure
    early = [
        point for point in guide.CHECKPOINTS if point.job == 1 and point.dead_fraction < limit
    ]
    listed = ", ".join(f"{100 * point.dead_fraction:g} % at {point.step}" for point in early)
    return Claim(
        number=23,
        claim="dead neurons below 50 % are a failure",
        source="Failure Indicators",
        recomputed=f"job 1, the success, had {listed or 'never less'}: "
        "only the end of a run can be judged by it",
        outcome=Outcome.inconsistent if early else Outcome.holds,
        numbers={"good_checkpoints_failing": len(early)},
    )


def floor_of_job_1() -> tuple[float, float]:
    """Floor and power of L0(t) = floor + c * t^-power, exactly through job 1's checkpoints."""
    first, middle, last = (point for point in guide.CHECKPOINTS if point.job == 1)

    def power(floor: float) -> float:
        drop = math.log((first.l0_fraction - floor) / (middle.l0_fraction - floor))
        return drop / math.log(middle.step / first.step)

    def mismatch(floor: float) -> float:
        drop = math.log((middle.l0_fraction - floor) / (last.l0_fraction - floor))
        return drop - power(floor) * math.log(last.step / middle.step)

    bracket = (0.0, last.l0_fraction * 0.999)
    floor = float(root_scalar(mismatch, bracket=bracket, xtol=1e-14).root)
    return floor, power(floor)


def loss_converged(evidence: Evidence) -> Claim:
    """Claim 24: the loss had settled, L0 and the dead latents had not."""
    _, middle, last = (point for point in guide.CHECKPOINTS if point.job == 1)
    spans = (last.step - middle.step) / 10_000

    def fall(before: float, after: float) -> float:
        return 1 - (after / before) ** (1 / spans)

    loss = fall(middle.loss, last.loss)
    at_most = fall(middle.loss + 0.0005, last.loss - 0.0005)  # rounded to 0.001
    l0 = fall(middle.l0_fraction, last.l0_fraction)
    dead = 100 * (last.dead_fraction - middle.dead_fraction) / spans
    floor, power = floor_of_job_1()
    limit = default_thresholds().guide.loss_change_success
    borderline = loss < limit < at_most or l0 > limit
    return Claim(
        number=24,
        claim="job 1's loss converged, below 1 % over 10k steps",
        source="Success Criteria; Training Convergence Indicators",
        recomputed=f"{100 * loss:.2f} % per 10k steps, up to {100 * at_most:.2f} % by rounding; "
        f"meanwhile L0 falls {100 * l0:.1f} % and dead latents grow by {dead:.1f} points. A power "
        f"law through its checkpoints (power {power:.2f}) ends at L0 {100 * floor:.2f} %, not at "
        f"{100 * evidence.jobs[1].l0:.2f} %",
        outcome=Outcome.unsupported if borderline else Outcome.holds,
        numbers={"loss_fall": loss, "loss_fall_at_most": at_most, "l0_fall": l0}
        | {"dead_points": dead, "l0_floor": floor, "power": power},
        degrees_of_freedom=0,
    )


CLAIMS = (
    tolerances,
    fine_tuning_step,
    percent_steps,
    unused_target,
    early_stop,
    dead_during_training,
    loss_converged,
)
