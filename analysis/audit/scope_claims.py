"""Claims 25 to 29: how far the guide reaches, and the arithmetic that holds."""

import math

from analysis import guide
from analysis.audit.evidence import Claim, Evidence, Outcome
from analysis.thresholds import default_thresholds

_FAR_WIDTHS = (4096, 262144, 1048576)
_PUBLIC_TOKENS = 500_000_000  # SAEBench's training runs
_STATED_DOUBLING = 100


def constants(_: Evidence) -> Claim:
    """Claim 25: "everything else can stay constant" names a quantity that varies."""
    settings = guide.COMPLETE_SETTINGS.values()
    hidden = sorted({each.hidden_dim for each in settings})
    steps = sorted({each.total_steps for each in settings})
    return Claim(
        number=25,
        claim="everything else can stay constant",
        source="Summary",
        recomputed=f"hidden_dim runs from {hidden[0]} to {hidden[-1]} and total_steps from "
        f"{steps[0]} to {steps[-1]} in its own settings; hidden_dim belongs to the model, so "
        "width is confounded with it and with the scale of the loss",
        outcome=Outcome.inconsistent if len(hidden) > 1 or len(steps) > 1 else Outcome.holds,
        numbers={"hidden_dims": len(hidden), "total_steps": len(steps)},
    )


def comparable_losses(evidence: Evidence) -> Claim:
    """Claim 26: a total loss contains alpha."""
    good, bad = evidence.jobs[1], evidence.jobs[2]
    return Claim(
        number=26,
        claim=f"losses {good.loss:g} and {bad.loss:g} compare the runs",
        source="Training Convergence Indicators",
        recomputed=f"{bad.loss / good.loss:.0f} times apart, at alphas "
        f"{good.l1_alpha / bad.l1_alpha:.3g} times apart. The total loss contains alpha times L1 "
        "and its reductions are not stated: it ranks nothing across alphas",
        outcome=Outcome.unsupported,
        numbers={"loss_ratio": bad.loss / good.loss},
    )


def other_widths(_: Evidence) -> Claim:
    """Claim 27: the law away from its two widths."""
    alphas = {width: guide.calculate_optimal_l1_alpha(width) for width in _FAR_WIDTHS}
    listed = ", ".join(f"{width}: {alpha:.2g}" for width, alpha in alphas.items())
    return Claim(
        number=27,
        claim="this single formula determines success or failure",
        source="Summary",
        recomputed=f"it asks for alpha {listed}",
        outcome=Outcome.unsupported,
        numbers={f"alpha_{width}": alpha for width, alpha in alphas.items()},
    )


def data_budget(_: Evidence) -> Claim:
    """Claim 28: tokens per latent."""
    base, widest = guide.COMPLETE_SETTINGS["65k"], guide.COMPLETE_SETTINGS["131k"]
    tokens = base.batch_size * base.total_steps
    per_latent = tokens / base.latent_dim
    per_latent_widest = widest.batch_size * widest.total_steps / widest.latent_dim
    return Claim(
        number=28,
        claim=f"batch_size {base.batch_size} and total_steps {base.total_steps} are optimal",
        source="Complete Optimal Settings",
        recomputed=f"{tokens / 1e6:.1f} million activations, {per_latent:.0f} a latent "
        f"({per_latent_widest:.0f} at {widest.latent_dim}); public SAEs are trained on "
        f"{_PUBLIC_TOKENS / 1e6:.0f} million, {_PUBLIC_TOKENS / tokens:.0f} times as many",
        outcome=Outcome.unsupported,
        numbers={"tokens": tokens, "per_latent": per_latent}
        | {"per_latent_widest": per_latent_widest},
    )


def arithmetic(evidence: Evidence) -> Claim:
    """Claim 29: sums that come out."""
    job, limits = evidence.jobs[1], default_thresholds().guide
    base, widest = guide.COMPLETE_SETTINGS["65k"], guide.COMPLETE_SETTINGS["131k"]
    error = abs(job.l0 / evidence.target - 1)
    checks = {
        f"{base.latent_dim} = 32 x {base.hidden_dim}": base.latent_dim
        == guide.EXPANSION_RATIO * base.hidden_dim,
        f"{widest.latent_dim} = 32 x {widest.hidden_dim}": widest.latent_dim
        == guide.EXPANSION_RATIO * widest.hidden_dim,
        f"2^{guide.SCALING_EXPONENT} is about {_STATED_DOUBLING}": math.isclose(
            2**guide.SCALING_EXPONENT, _STATED_DOUBLING, rel_tol=0.01
        ),
        f"L0 {100 * job.l0:.2f} % is within 10 % of 5 %": error <= limits.l0_success,
        f"loss {job.loss:g} is below {limits.loss_success:g}": job.loss < limits.loss_success,
    }
    wrong = [text for text, right in checks.items() if not right]
    return Claim(
        number=29,
        claim="the arithmetic of the settings and of job 1",
        source="Complete Optimal Settings; Success Criteria",
        recomputed="; ".join(wrong) + " does not hold" if wrong else "; ".join(checks),
        outcome=Outcome.inconsistent if wrong else Outcome.holds,
        numbers={"checks": len(checks), "wrong": len(wrong)},
    )


CLAIMS = (constants, comparable_losses, other_widths, data_budget, arithmetic)
