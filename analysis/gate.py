"""What may be said from the data that exist, and what to run where it may not.

| data | may be said | may not be said |
|---|---|---|
| 1 alpha | the run itself | any curve, alpha for another L0 |
| 2 alphas around the target | alpha on the line through them, marked "0 d.o.f." | an interval |
| 2 alphas at every width | the same at each | an exponent, alpha at another width |
| L0 falls through the target twice | alpha of the sparser crossing, both named | an interval |
| 3 alphas or more around the target | alpha with its interval | forms without a d.o.f., AICc |
| target outside the runs' L0 | on which side alpha lies | a recommended alpha |
| 1 width | curves | an exponent |
| 2 or 3 widths | an exponent with interval, "form not tested" for 2 | "scaling law" |
| SAEs of no use around the target | the same, and that they are | "scaling law" |
| 4 widths or more, bracketed by 3 alphas each, converged, over a factor of 4 | a law | |

A width enters the exponent only if it brackets its target, at one place; otherwise it is a
one-sided bound, or says nothing.
Everything here is a pure function of counts and of the runs' extremes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis.bracketing import LocalCell, bracket, mean_by_alpha, secant, torn

WIDTHS_FOR_A_LAW = 4
# Assumption: over less the error of each width's alpha is not small next to what the width does.
_SPAN_FOR_A_LAW = 4
ALPHAS_FOR_AN_INTERVAL = 3
K_SETS_L0 = "k sets L0, so that there is no alpha to find"
"""Why runs without a penalty have no curve."""

# Where no slope can be measured; the middle of the elasticities measured in
# tests/data/l0_curves_minilm_layer3.csv (-0.5 to -2.9).
_USUAL_ELASTICITY = -1.2
# A suggested alpha goes past the target by this much in ln L0, so that the next run brackets it.
_OVERSHOOT = 0.3
# Never further than this factor from the runs there are.
_LARGEST_STEP = math.log(8.0)
_LEAST_STEP = math.log(1.5)
_ANOTHER_SEED = 1  # sweeps begin with 0


class Status(StrEnum):
    """What a fit may be called."""

    law = "law"
    provisional = "provisional"


class Side(StrEnum):
    """Where alpha for the target lies, seen from all runs."""

    above = "above"
    below = "below"


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """A run that would let more be said."""

    latent_dim: int
    """Width to run."""
    l1_alpha: float | None
    """Alpha to run, canonical; None where nothing is known about it."""
    why: str
    """What the run would give."""
    longer: int = 1
    """By how many times more steps than the runs there are."""
    seed: int | None = None
    """Seed to run, where the sweeps' own would give the same run again."""

    def to_json(self) -> dict[str, int | float | str | None]:
        """As plain values."""
        return {
            "latent_dim": self.latent_dim,
            "l1_alpha": self.l1_alpha,
            "why": self.why,
            "times_the_steps": self.longer,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CellGate:
    """What may be said about one width."""

    bracketed: bool
    """Whether runs lie on both sides of the target."""
    point: bool
    """Whether an alpha may be named."""
    interval: bool
    """Whether it may have an interval."""
    side: Side | None
    """Where alpha lies if the target is not bracketed, as far as the runs tell."""
    reason: str | None
    """Why the interval (or the point) is refused."""
    suggestions: tuple[Suggestion, ...]
    """What to run next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentGate:
    """What may be said about the exponent in width."""

    allowed: bool
    """Whether an exponent may be named."""
    status: Status
    """Whether it may be called a law."""
    reason: str | None
    """Why it is refused."""
    missing: tuple[str, ...]
    """What a law still needs."""
    suggestions: tuple[Suggestion, ...]
    """What to run next."""


def without_alpha() -> ExponentGate:
    """The gate for runs whose k sets L0."""
    return ExponentGate(
        allowed=False, status=Status.provisional, reason=K_SETS_L0, missing=(), suggestions=()
    )


def judge_cell(cell: LocalCell) -> CellGate:
    """The gate for one width's runs, all at positive alphas."""
    if len(cell.log_alpha) == 0:
        return _refused(cell, None, "no usable run", None)
    alphas, means = mean_by_alpha(cell)
    if bracket(cell) is not None:
        return _judge_bracketed(cell, len(alphas))
    first, last = float(alphas[0]), float(alphas[-1])
    if float(means.max()) < cell.log_target:
        side, next_alpha = Side.below, _beyond(cell, first, float(means[0]))
    elif float(means.min()) > cell.log_target:
        side, next_alpha = Side.above, _beyond(cell, last, float(means[-1]))
    else:
        side, next_alpha = None, _short_of_bound(cell, last, _LEAST_STEP)
    if len(alphas) == 1:
        reason = "1 alpha: a point, no curve"
    elif side is None:
        reason = "L0 does not fall with alpha through the target"
    else:
        reason = _outside(cell, float(means.min()), float(means.max()))
    return _refused(cell, side, reason, next_alpha)


def _judge_bracketed(cell: LocalCell, n_alphas: int) -> CellGate:
    twice = torn(cell)
    if twice is not None:
        return _judge_torn(cell, *twice)
    if n_alphas >= ALPHAS_FOR_AN_INTERVAL:
        return CellGate(
            bracketed=True, point=True, interval=True, side=None, reason=None, suggestions=()
        )
    suggestion = Suggestion(
        latent_dim=cell.latent_dim,
        l1_alpha=math.exp(secant(cell)),
        why="a third alpha, for an interval",
    )
    return CellGate(
        bracketed=True,
        point=True,
        interval=False,
        side=None,
        reason="2 alphas: the line through 2 points, 0 d.o.f., has no interval",
        suggestions=(suggestion,),
    )


def _judge_torn(
    cell: LocalCell, first: tuple[float, float], last: tuple[float, float]
) -> CellGate:
    """The point of the sparser bracket, and the run that would tell which of the two is real."""
    listed = " and ".join(
        f"from alpha {math.exp(low):.4g} to {math.exp(high):.4g}" for low, high in (first, last)
    )
    suggestion = Suggestion(
        latent_dim=cell.latent_dim,
        l1_alpha=math.exp(last[0]),
        why="once more with another seed, since L0 rises before it",
        seed=_ANOTHER_SEED,
    )
    return CellGate(
        bracketed=True,
        point=True,
        interval=False,
        side=None,
        reason=f"L0 falls through the target twice, {listed}: no interval before one is ruled out",
        suggestions=(suggestion,),
    )


def _outside(cell: LocalCell, lowest: float, highest: float) -> str:
    low, high = math.exp(lowest), math.exp(highest)
    has_replicates = len(cell.log_alpha) > cell.n_alphas
    whose = "the mean L0 at each alpha" if has_replicates else "the runs' L0"
    return f"target {cell.target:.4g} lies outside {whose} ({low:.4g} to {high:.4g})"


def _refused(
    cell: LocalCell, side: Side | None, reason: str, next_alpha: float | None
) -> CellGate:
    why = {
        Side.above: "a larger alpha, to bracket the target",
        Side.below: "a smaller alpha, to bracket the target",
        None: "another alpha, to see how L0 falls",
    }[side]
    return CellGate(
        bracketed=False,
        point=False,
        interval=False,
        side=side,
        reason=reason,
        suggestions=(Suggestion(latent_dim=cell.latent_dim, l1_alpha=next_alpha, why=why),),
    )


def _beyond(cell: LocalCell, log_alpha: float, mean: float) -> float:
    """The alpha a little past the target, by the usual elasticity from the nearest run."""
    gap = mean - cell.log_target
    step = (gap + math.copysign(_OVERSHOOT, gap)) / -_USUAL_ELASTICITY
    return _short_of_bound(cell, log_alpha, max(-_LARGEST_STEP, min(_LARGEST_STEP, step)))


def _short_of_bound(cell: LocalCell, log_alpha: float, step: float) -> float:
    """The alpha after a step, at most halfway (in the logarithm) to where nothing was left."""
    bound = cell.log_alpha_bound
    if bound is not None and bound > log_alpha:
        step = min(step, (bound - log_alpha) / 2)
    return math.exp(log_alpha + step)


def judge_exponent(
    cells: Sequence[LocalCell],
    *,
    all_converged: bool | None,
    log_alphas: Sequence[float],
    useless: Sequence[int] = (),
) -> ExponentGate:
    """The gate for the exponent of one group's widths.

    Args:
        cells: All widths of the group, rising.
        all_converged: Whether every run that enters had converged; None if not recorded.
        log_alphas: Ln alpha for the target of each width that brackets it once, in the order of
            `cells`.
        useless: Widths where SAEs of no use bracket the target.
    """
    bracketed = [cell for cell in cells if cell.bracketed_once]
    unbracketed = [cell for cell in cells if not cell.bracketed_once]
    suggestions = [each for cell in unbracketed for each in judge_cell(cell).suggestions]
    missing = [
        f"one crossing of the target at width {cell.latent_dim} (it has two)"
        if cell.bracketed
        else f"runs on both sides of the target at width {cell.latent_dim}"
        for cell in unbracketed
    ]
    few = [cell for cell in bracketed if cell.n_alphas < ALPHAS_FOR_AN_INTERVAL]
    missing += [
        f"{ALPHAS_FOR_AN_INTERVAL} alphas at width {cell.latent_dim} (it has {cell.n_alphas})"
        for cell in few
    ]
    missing += [
        f"SAEs of use around the target at width {width} (they collapsed or are dead)"
        for width in useless
    ]
    lacking = WIDTHS_FOR_A_LAW - len(bracketed)
    if lacking > 0:
        missing.append(f"{lacking} more bracketed width{'s' if lacking > 1 else ''}")
        if cells and lacking > len(unbracketed):
            suggestions.append(_next_width(cells, log_alphas))
    elif (span := bracketed[-1].latent_dim / bracketed[0].latent_dim) < _SPAN_FOR_A_LAW:
        missing.append(f"widths over a factor of {_SPAN_FOR_A_LAW} (these span {span:.4g})")
        suggestions.append(_next_width(cells, log_alphas))
    if all_converged is None:
        missing.append("a record of whether the runs converged")
    elif not all_converged:
        missing.append("converged runs (some had not)")
        if cells:
            suggestions.append(_longer(cells, bracketed, log_alphas))
    reason = None
    if len(bracketed) < 2:
        have = f"{len(bracketed)} bracketed width{'' if len(bracketed) == 1 else 's'}"
        reason = f"{have}: an exponent needs two, a law {WIDTHS_FOR_A_LAW}"
    elif len(few) == len(bracketed):
        reason = f"no width has the {ALPHAS_FOR_AN_INTERVAL} alphas that an interval needs"
    return ExponentGate(
        allowed=reason is None,
        status=Status.provisional if missing else Status.law,
        reason=reason,
        missing=tuple(missing),
        suggestions=tuple(suggestions),
    )


def _longer(
    cells: Sequence[LocalCell], bracketed: Sequence[LocalCell], log_alphas: Sequence[float]
) -> Suggestion:
    """Twice the steps at the widest width, whose runs take the longest to converge."""
    widest = (bracketed or cells)[-1]
    alpha = math.exp(log_alphas[-1]) if log_alphas else None
    return Suggestion(
        latent_dim=widest.latent_dim,
        l1_alpha=alpha,
        why="longer runs, until L0 stands still",
        longer=2,
    )


def _next_width(cells: Sequence[LocalCell], log_alphas: Sequence[float]) -> Suggestion:
    """Twice the widest, at the alpha of the nearest bracketed width: exponents are below 1."""
    width = 2 * max(cell.latent_dim for cell in cells)
    alpha = math.exp(log_alphas[-1]) if log_alphas else None
    return Suggestion(latent_dim=width, l1_alpha=alpha, why="one more width, for the exponent")
