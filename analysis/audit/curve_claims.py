"""Claims 1 to 6: the curve of L0 against alpha."""

import itertools
import math
from collections.abc import Mapping

from analysis import guide
from analysis.audit.evidence import L0_HALF_DIGIT, Claim, Evidence, Outcome

_SECTION = "Key Findings 1"
_SAME = 1.10  # the guide's own "within 10 %"
_SCHEDULE_START = 0.10  # "Start with higher target_l0 (10%)"


def curve_constants(evidence: Evidence) -> Claim:
    """Claim 1: the curve's two constants come from two points."""
    first, second, curve = evidence.jobs[1], evidence.jobs[3], evidence.curve
    span = second.l1_alpha - first.l1_alpha
    share = first.l1_alpha / span
    rates: list[float] = []
    amplitudes: list[float] = []
    for sign in (-1, 1):
        high, low = first.l0 + sign * L0_HALF_DIGIT, second.l0 - sign * L0_HALF_DIGIT
        rates.append(math.log(high / low) / span)
        amplitudes.append(high * (high / low) ** share)
    as_printed = (round(curve.rate, 2), round(curve.amplitude, 4)) == (
        guide.CURVE_RATE,
        guide.CURVE_AMPLITUDE,
    )
    return Claim(
        number=1,
        claim=f"L0 = {guide.CURVE_AMPLITUDE} exp(-{guide.CURVE_RATE} alpha)",
        source=_SECTION,
        recomputed=f"through jobs 1 and 3 alone: k = {curve.rate:.6f}, A = {curve.amplitude:.7f}; "
        "2 points, 2 parameters, 0 degrees of freedom, so no interval and no test. Rounding of "
        f"the inputs alone leaves k in {rates[0]:.3f} to {rates[1]:.3f} "
        f"and A in {amplitudes[0]:.4f} to {amplitudes[1]:.4f}",
        outcome=Outcome.unidentified if as_printed else Outcome.refuted,
        numbers={
            "k": curve.rate,
            "A": curve.amplitude,
            "k_low": rates[0],
            "k_high": rates[1],
            "A_low": amplitudes[0],
            "A_high": amplitudes[1],
        },
        degrees_of_freedom=0,
    )


def _prediction(evidence: Evidence, number: int, job_number: int) -> Claim:
    job = evidence.jobs[job_number]
    predicted = evidence.curve.at(job.l1_alpha)
    ratio = job.l0 / predicted
    return Claim(
        number=number,
        claim=f"the same curve explains alpha {job.l1_alpha:g} (job {job_number})",
        source=_SECTION,
        recomputed=f"it predicts {100 * predicted:.2f} %, the job gave {100 * job.l0:.1f} %: "
        f"off {max(ratio, 1 / ratio):.1f} times (log residual {math.log(ratio):+.2f})",
        outcome=Outcome.holds if 1 / _SAME <= ratio <= _SAME else Outcome.refuted,
        numbers={"predicted": predicted, "observed": job.l0, "log_residual": math.log(ratio)},
    )


def smallest_alpha(evidence: Evidence) -> Claim:
    """Claim 2: the curve against job 4."""
    return _prediction(evidence, 2, 4)


def middle_alpha(evidence: Evidence) -> Claim:
    """Claim 3: the curve against job 2."""
    return _prediction(evidence, 3, 2)


def any_target(evidence: Evidence) -> Claim:
    """Claim 4: the curve has a ceiling below one of the guide's own targets."""
    curve = evidence.curve
    needed = curve.alpha(_SCHEDULE_START)
    return Claim(
        number=4,
        claim="the curve gives an alpha for any target",
        source=f"{_SECTION}; Advanced Techniques 4",
        recomputed=f"its ceiling is {100 * curve.amplitude:.2f} %; the guide's own schedule start "
        f"of {100 * _SCHEDULE_START:g} % needs alpha = {needed:.3f}"
        + (", which is impossible" if needed < 0 else ""),
        outcome=Outcome.refuted if needed < 0 else Outcome.holds,
        numbers={"ceiling": curve.amplitude, "alpha_for_schedule_start": needed},
    )


def monotone(evidence: Evidence) -> Claim:
    """Claim 5: L0 falls with alpha; job 2 never left its initialisation."""
    ordered = sorted(evidence.jobs.values(), key=lambda job: job.l1_alpha)
    rising = [(low, high) for low, high in itertools.pairwise(ordered) if high.l0 >= low.l0]
    job = evidence.jobs[2]
    first = next(point for point in guide.CHECKPOINTS if point.job == 2)
    untrained = abs(job.l0 - 0.5) < 0.03 and job.dead < 0.05
    text = "; ".join(
        f"alpha {low.l1_alpha:g} gave {100 * low.l0:.1f} % and {high.l1_alpha:g} gave "
        f"{100 * high.l0:.1f} %"
        for low, high in rising
    )
    if untrained:
        text += (
            f". Job 2 (half of all latents on, {100 * job.dead:.1f} % dead, loss {first.loss:.0f} "
            f"to {job.loss:.0f}) looks like an encoder that never left its initialisation, "
            "not like an alpha too low"
        )
    return Claim(
        number=5,
        claim="L0 falls as alpha grows; job 2 failed because alpha was too low",
        source=f"{_SECTION}; Job 2 Failure Analysis",
        recomputed=text or "L0 falls with alpha over all four jobs",
        outcome=Outcome.refuted if rising else Outcome.holds,
        numbers={"rising_pairs": len(rising), "job_2_untrained": float(untrained)},
    )


def one_width(evidence: Evidence) -> Claim:
    """Claim 6: the list "for latent_dim = 65536" mixes widths."""
    widths: Mapping[int, int] = {number: job.latent_dim for number, job in evidence.jobs.items()}
    others = {number: width for number, width in widths.items() if width != guide.BASE_LATENT_DIM}
    job = evidence.jobs[2]
    law = guide.calculate_optimal_l1_alpha(job.latent_dim)
    listed = ", ".join(f"job {number} has {width}" for number, width in others.items())
    return Claim(
        number=6,
        claim=f"the listed runs are for latent_dim = {guide.BASE_LATENT_DIM}",
        source=_SECTION,
        recomputed=f"{listed or 'all have it'}; the law asks for alpha {law:.3f} at "
        f"{job.latent_dim}, of which job 2's {job.l1_alpha:g} is {100 * job.l1_alpha / law:.0f} %",
        outcome=Outcome.inconsistent if others else Outcome.holds,
        numbers={"law_alpha_job_2": law, "share_of_law": job.l1_alpha / law},
    )


CLAIMS = (curve_constants, smallest_alpha, middle_alpha, any_target, monotone, one_width)
