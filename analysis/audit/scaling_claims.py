"""Claims 7 to 11: alpha's exponent in the width, and the table it gives."""

import itertools
import math

from analysis import guide
from analysis.audit.evidence import OTHER_WIDTH_OF_JOB_4, Claim, Evidence, Outcome

_SECTION = "Key Findings 2"
_TABLE = "Common Configurations"
_PAIR = ((32768, 0.001), (65536, 0.1))  # the two points behind "multiply by ~100"
_MIDDLE_SLOPE = 0.5  # a power law as flat as jobs 1 and 4 have it


def two_point_exponent() -> float:
    """The exponent through (32768, 0.001) and (65536, 0.1); 0 degrees of freedom."""
    (low_width, low_alpha), (high_width, high_alpha) = _PAIR
    return math.log(high_alpha / low_alpha) / math.log(high_width / low_width)


def exponent(evidence: Evidence) -> Claim:
    """Claim 7: 6.64 is "100 per doubling" said twice."""
    beta = two_point_exponent()
    per_doubling = 2**guide.SCALING_EXPONENT
    miss = evidence.jobs[4].l0 / evidence.target
    return Claim(
        number=7,
        claim=f"alpha grows as latent_dim^{guide.SCALING_EXPONENT}",
        source=_SECTION,
        recomputed=f"one pair, (32768, 0.001) and (65536, 0.1), gives {beta:.6f} with 0 degrees "
        f"of freedom: it is 'times {per_doubling:.2f} per doubling' restated; and the run with "
        f"alpha 0.001 missed its target by {miss:.1f} times",
        outcome=Outcome.unidentified,
        numbers={"exponent": beta, "per_doubling": per_doubling, "miss_factor": miss},
        degrees_of_freedom=0,
    )


def exponential_in_width(_: Evidence) -> Claim:
    """Claim 8: a power law has one log-log slope, an exponential has not."""
    widths = [row.latent_dim for row in guide.COMMON_CONFIGURATIONS]
    alphas = [guide.calculate_optimal_l1_alpha(width) for width in widths]
    slopes = [math.log2(high / low) for low, high in itertools.pairwise(alphas)]
    same = max(slopes) - min(slopes) < 1e-9
    return Claim(
        number=8,
        claim="alpha must scale exponentially with latent dimension",
        source=_SECTION,
        recomputed="the formula's log-log slope is "
        + " and ".join(f"{slope:.2f}" for slope in slopes)
        + " over the table's doublings: a power law; an exponential's would double each time",
        outcome=Outcome.inconsistent if same else Outcome.holds,
        numbers={"slope": slopes[0]},
    )


def validated_width(evidence: Evidence) -> Claim:
    """Claim 9: no run at width 32768 reached the target."""
    job = evidence.jobs[4]
    hit = abs(job.l0 / evidence.target - 1) <= 0.10
    return Claim(
        number=9,
        claim=f"alpha 0.001 gives ~5 % at {OTHER_WIDTH_OF_JOB_4}, which is validated",
        source=f"{_TABLE}; footer",
        recomputed=f"the only run with alpha {job.l1_alpha:g} gave {100 * job.l0:.1f} %. If it is "
        f"the {OTHER_WIDTH_OF_JOB_4} run, the row is refuted by its own source; if it has "
        f"{job.latent_dim}, no {OTHER_WIDTH_OF_JOB_4} run exists",
        outcome=Outcome.holds if hit else Outcome.refuted,
        numbers={"l0_at_alpha": job.l0},
    )


def exponents_by_form(evidence: Evidence) -> dict[str, float]:
    """The exponent that the same data give under three curve forms, with job 4 at 32768."""
    first, third, fourth = (evidence.jobs[number] for number in (1, 3, 4))
    curve, target = evidence.curve, evidence.target
    here = curve.alpha(target)
    slope = math.log(first.l0 / third.l0) / math.log(third.l1_alpha / first.l1_alpha)
    there = {
        "exponential": fourth.l1_alpha + math.log(fourth.l0 / target) / curve.rate,
        "power": fourth.l1_alpha * (fourth.l0 / target) ** (1 / slope),
        "flatter power": fourth.l1_alpha * (fourth.l0 / target) ** (1 / _MIDDLE_SLOPE),
    }
    doublings = math.log2(first.latent_dim / OTHER_WIDTH_OF_JOB_4)
    return {
        form: math.log2(here / alpha) / doublings if here > 0 and alpha > 0 else math.nan
        for form, alpha in there.items()
    }


def sign_of_exponent(evidence: Evidence) -> Claim:
    """Claim 10: other curve forms on the same data give exponents of both signs."""
    betas = exponents_by_form(evidence)
    known = [beta for beta in betas.values() if not math.isnan(beta)]
    both = bool(known) and min(known) < 0 < max(known)
    listed = ", ".join(f"{form} {beta:+.2f}" for form, beta in betas.items())
    return Claim(
        number=10,
        claim="the exponent is a property of SAEs",
        source=_SECTION,
        recomputed=f"with job 4 at {OTHER_WIDTH_OF_JOB_4} the same data give {listed}: "
        + ("not even the sign is identified" if both else "the sign at least agrees"),
        outcome=Outcome.unidentified,
        numbers={f"exponent_{form.replace(' ', '_')}": beta for form, beta in betas.items()},
        degrees_of_freedom=0,
    )


def table_rows(_: Evidence) -> Claim:
    """Claim 11: the table's alphas against the formula above it."""
    rows = guide.COMMON_CONFIGURATIONS
    laws = {row.latent_dim: guide.calculate_optimal_l1_alpha(row.latent_dim) for row in rows}
    ratios = {row.latent_dim: row.l1_alpha / laws[row.latent_dim] for row in rows}
    wrong = {width: ratio for width, ratio in ratios.items() if not 0.95 < ratio < 1.05}
    smallest, second, base = rows[0], rows[1], rows[2]
    implied = math.log2(base.l1_alpha / smallest.l1_alpha) / 2
    step = math.log2(second.l1_alpha / smallest.l1_alpha)
    listed = ", ".join(
        f"{width} prints {ratio:.1f} times the law" for width, ratio in wrong.items()
    )
    return Claim(
        number=11,
        claim="the table's alphas follow the formula",
        source=_TABLE,
        recomputed=f"{listed or 'all do'}; the law gives "
        + ", ".join(f"{width}: {alpha:.5g}" for width, alpha in laws.items())
        + f" (the smallest row implies exponent {implied:.2f}, its step to the next {step:.2f})",
        outcome=Outcome.inconsistent if wrong else Outcome.holds,
        numbers={f"law_{width}": alpha for width, alpha in laws.items()}
        | {"implied_exponent": implied, "step_exponent": step},
    )


CLAIMS = (exponent, exponential_in_width, validated_width, sign_of_exponent, table_rows)
