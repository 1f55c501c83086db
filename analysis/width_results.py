"""What one width says: alpha for the target, as far as the gate allows, and the global forms."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from analysis.bootstrap import DIFFERENT, bootstrap_alpha
from analysis.bracketing import secant
from analysis.cells import Impossible, WidthRuns
from analysis.curves import Comparison
from analysis.errors import AnalysisError
from analysis.gate import K_SETS_L0, CellGate, judge_cell
from analysis.local import LocalFit
from analysis.mixture import Estimate
from analysis.results import FormAverage, FormResult, WidthResult


def width_result(
    width: WidthRuns, local: LocalFit | None, useless: Sequence[str] = ()
) -> WidthResult:
    """The result of one width, from its own forms and the local fit over all bracketed widths.

    Args:
        width: Its runs and forms.
        local: None where no width is bracketed.
        useless: Of its runs around the target; see `analysis.useless_runs`.
    """
    cell, comparison = width.cell, width.comparison
    gate = judge_cell(cell)
    result = replace(
        _empty_result(cell.latent_dim, width.runs, gate.reason),
        weights=comparison.run_weights,
        target_count=cell.target,
        bracketed=gate.bracketed,
        side=gate.side,
        forms=_form_results(comparison, cell.target, may_name_alpha=gate.point),
        form_choice=comparison.choice,
        average_alpha=_average(comparison, cell.target) if gate.point else None,
        notes=(*useless, *_width_notes(width, gate), *comparison.notes),
        suggestions=gate.suggestions,
    )
    if not gate.point:
        return result
    result = replace(result, point=math.exp(secant(cell)))
    if (
        local is None or not gate.interval
    ):  # two alphas: what a prior on the curve's shape adds is not data
        return result
    index = local.latent_dims.index(cell.latent_dim)
    result = replace(result, elasticity=local.elasticity(index))
    if not local.bounded(index):
        return replace(result, reason="the slope at the target is not known to be negative")
    mean = local.log_alpha(index).exp()
    drawn = bootstrap_alpha(cell)
    return replace(
        result,
        point=mean.value,
        alpha_star=mean,
        next_run=local.next_run(index).exp(),
        bootstrap=None if drawn is None else drawn.exp(),
        notes=(*result.notes, *_bootstrap_notes(local.log_alpha(index), drawn)),
    )


def impossible_result(width: Impossible) -> WidthResult:
    """The result of a width that cannot have the target."""
    return _empty_result(width.latent_dim, width.runs, width.reason)


def result_of_k(width: WidthRuns) -> WidthResult:
    """The result of runs whose k sets L0: whatever alpha a table gives them does nothing."""
    return replace(
        _empty_result(width.cell.latent_dim, width.runs, K_SETS_L0),
        weights=width.comparison.run_weights,
        target_count=width.cell.target,
    )


def _bootstrap_notes(fitted: Estimate, drawn: Estimate | None) -> tuple[str, ...]:
    """Both intervals, where they disagree."""
    if drawn is None:
        return ()
    ratio = (drawn.high - drawn.low) / (fitted.high - fitted.low)
    if 1 / DIFFERENT <= ratio <= DIFFERENT:
        return ()
    shown = drawn.exp()
    return (
        f"the bootstrap's interval, {shown.low:.3g} to {shown.high:.3g}, is {ratio:.2g} times "
        "as long as the fit's",
    )


def _empty_result(latent_dim: int, runs: pd.DataFrame, reason: str | None) -> WidthResult:
    return WidthResult(
        latent_dim=latent_dim,
        target_count=None,
        n=len(runs),
        alphas=tuple(float(alpha) for alpha in runs["alpha_canonical"]),
        l0=tuple(float(l0) for l0 in runs["l0"]),
        rows=tuple(int(row) for row in runs.index),
        weights=(1.0,) * len(runs),
        bracketed=False,
        side=None,
        forms=(),
        form_choice=None,
        average_alpha=None,
        point=None,
        alpha_star=None,
        next_run=None,
        bootstrap=None,
        elasticity=None,
        reason=reason,
        notes=(),
        suggestions=(),
    )


def _form_results(
    comparison: Comparison, count: float, *, may_name_alpha: bool
) -> tuple[FormResult, ...]:
    """Every global form, with its alpha for a target within the runs."""
    results: list[FormResult] = []
    for score in comparison.scores:
        alpha, reason = None, None
        try:
            alpha = score.fit.inverse(count)
        except AnalysisError as error:
            reason = str(error)
        if alpha is not None and not may_name_alpha:
            alpha, reason = None, "the runs do not bracket the target"
        results.append(FormResult(score=score, alpha=alpha, reason=reason))
    return tuple(results)


def _average(comparison: Comparison, count: float) -> FormAverage | None:
    if comparison.choice is None:
        return None
    try:
        value, spread = comparison.average_alpha(count)
    except AnalysisError:  # no form reaches the target; each has said so
        return None
    return FormAverage(value=value, log_spread=spread)


def _runs(n: int) -> str:
    return f"{n} run{'' if n == 1 else 's'}"


def _width_notes(width: WidthRuns, gate: CellGate) -> tuple[str, ...]:
    runs, notes = width.runs, list[str]()
    zeros = int((runs["alpha_canonical"] == 0).sum())
    if zeros:
        notes.append(f"{_runs(zeros)} at alpha 0: only forms that have a ceiling use them")
    if gate.side is not None:
        notes.append(f"one-sided: alpha for the target lies {gate.side} all runs")
    unconverged = int((~runs["converged"].fillna(value=True)).sum())
    if unconverged:
        notes.append(f"{_runs(unconverged)} had not converged")
    notes += [
        f"row {row} counts {weight:.2g}: its L0 lies off the curve of the other runs"
        for row, weight in zip(runs.index, width.comparison.run_weights, strict=True)
        if weight < 1
    ]
    return tuple(notes)
