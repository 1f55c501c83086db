"""From a trial table to curves, alphas for the target and their exponent in width."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.arrays import FloatArray
from analysis.bootstrap import DIFFERENT, bootstrap_alpha
from analysis.bracketing import LocalCell, secant
from analysis.budget import BudgetResult, budget_result
from analysis.curves import Comparison, compare_forms
from analysis.errors import AnalysisError
from analysis.exponent import fit_exponent, theory_exponent
from analysis.gate import CellGate, judge_cell, judge_exponent, may_show_form
from analysis.groups import Group, split
from analysis.local import DEFAULT_PRIOR, LocalFit, fit_local
from analysis.mixture import Estimate
from analysis.records import Units
from analysis.results import FormAverage, FormResult, Refit, WidthResult
from analysis.selection import select
from analysis.units import target_count

_HASHED = ("latent_dim", "alpha_canonical", "l0", "seed")


def refit(trials: pd.DataFrame, *, target_l0: float) -> Refit:
    """Fits what the trials allow, and says what they do not.

    Runs of several architectures, penalties, data sets or recipes are never mixed: the largest
    group is returned, the others are its `others`.

    Args:
        trials: A table as `analysis.load_trials` returns it.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.

    Raises:
        AnalysisError: The target is not positive, or no row is usable.
    """
    if not (math.isfinite(target_l0) and target_l0 > 0):
        raise AnalysisError(f"target_l0 must be positive, but got {target_l0!r}.")
    selection = select(trials)
    if selection.usable.empty:
        first = f": {selection.exclusions[0].reason}" if selection.exclusions else ""
        raise AnalysisError(
            f"trials must hold at least one usable run, but all {len(trials)} are excluded{first}."
        )
    units = Units(trials.attrs.get("units", Units.canonical))
    notes = [str(note) for note in trials.attrs.get("notes", [])]
    notes += [
        f"{problem['source']}: {problem['reason']}" for problem in trials.attrs.get("problems", [])
    ]
    groups = split(selection.usable)
    if len(groups) > 1:
        notes.append(
            f"{len(groups)} groups of runs (architecture, penalty, activations or recipe differ) "
            "are fitted apart; this is the largest."
        )
    fits = [_refit_group(group, target_l0, units) for group in groups]
    budget, budget_reason = _budget(trials, target_l0)
    return replace(
        fits[0],
        budget=budget,
        budget_reason=budget_reason,
        exclusions=selection.exclusions,
        notes=(*notes, *fits[0].notes),
        others=tuple(fits[1:]),
    )


def _budget(trials: pd.DataFrame, target_l0: float) -> tuple[BudgetResult | None, str | None]:
    try:
        return budget_result(trials, target_l0), None
    except AnalysisError as error:
        return None, str(error)


def _refit_group(group: Group, target_l0: float, units: Units) -> Refit:
    widths, impossible = _cells(group.runs, target_l0)
    cells = [cell for cell, _ in widths]
    bracketed = [cell for cell in cells if cell.bracketed]
    local = fit_local(bracketed) if bracketed else None
    gate = judge_exponent(
        cells,
        all_converged=_all_converged(group.runs),
        log_alphas=[secant(cell) for cell in bracketed],
    )
    exponent = fit_exponent(local) if gate.allowed and local is not None else None
    results = [_width_result(cell, runs, local) for cell, runs in widths]
    ordered = sorted([*results, *impossible], key=lambda result: result.latent_dim)
    return Refit(
        target_l0=target_l0,
        units=units,
        recipe=group.recipe,
        status=gate.status,
        missing=gate.missing,
        widths=tuple(ordered),
        noise=None if local is None else local.noise(),
        exponent=exponent,
        exponent_reason=gate.reason,
        theory_exponent=theory_exponent(target_l0),
        suggestions=tuple(
            dict.fromkeys(
                [*(each for result in ordered for each in result.suggestions), *gate.suggestions]
            )
        ),
        exclusions=(),
        notes=_group_notes(group, local, exponent is not None),
        data_hash=_data_hash(group.runs),
        local=local,
    )


def _cells(
    runs: pd.DataFrame, target_l0: float
) -> tuple[list[tuple[LocalCell, pd.DataFrame]], list[WidthResult]]:
    """One cell a width, rising, and a result for each width that cannot have the target."""
    cells: list[tuple[LocalCell, pd.DataFrame]] = []
    impossible: list[WidthResult] = []
    for width, of_width in runs.groupby("latent_dim", sort=True):
        latent_dim = int(str(width))
        try:
            count = target_count(target_l0, latent_dim)
        except AnalysisError as error:
            impossible.append(_empty_result(latent_dim, of_width, str(error)))
            continue
        positive = of_width[of_width["alpha_canonical"] > 0]
        cell = LocalCell(
            latent_dim=latent_dim,
            log_alpha=np.log(positive["alpha_canonical"].to_numpy(dtype=np.float64)),
            log_l0=np.log(positive["l0"].to_numpy(dtype=np.float64)),
            target=count,
            weights=_evaluation_weights(positive),
        )
        cells.append((cell, of_width))
    return cells, impossible


def _evaluation_weights(runs: pd.DataFrame) -> FloatArray | None:
    """Seeds' variance over seeds' and evaluation's: runs judged on few tokens count less.

    The seeds' part is the stated default; the fit scales both by the noise it finds.
    """
    relative = (runs["l0_se"] / runs["l0"]).to_numpy(dtype=np.float64)
    if np.all(np.isnan(relative)):
        return None
    seeds = DEFAULT_PRIOR.noise[0] ** 2
    return seeds / (seeds + np.nan_to_num(relative) ** 2)


def _width_result(cell: LocalCell, runs: pd.DataFrame, local: LocalFit | None) -> WidthResult:
    gate = judge_cell(cell)
    result = _empty_result(cell.latent_dim, runs, gate.reason)
    comparison = compare_forms(result.alphas, result.l0)
    result = replace(
        result,
        target_count=cell.target,
        bracketed=gate.bracketed,
        side=gate.side,
        forms=_form_results(comparison, cell.target, may_name_alpha=gate.point),
        form_choice=comparison.choice,
        average_alpha=_average(comparison, cell.target) if gate.point else None,
        notes=(*_width_notes(runs, gate), *comparison.notes),
        suggestions=gate.suggestions,
    )
    if local is None or not gate.point:
        return result
    index = local.latent_dims.index(cell.latent_dim)
    if not gate.interval:  # two alphas: what a prior on the curve's shape adds is not data
        return replace(result, point=math.exp(secant(cell)))
    result = replace(result, point=math.exp(secant(cell)), elasticity=local.elasticity(index))
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
    """Every global form that the gate allows, with its alpha for a target within the runs."""
    results: list[FormResult] = []
    for score in comparison.scores:
        if not may_show_form(score.fit.n_alphas, score.fit.dof):
            continue
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


def _width_notes(runs: pd.DataFrame, gate: CellGate) -> tuple[str, ...]:
    notes: list[str] = []
    zeros = int((runs["alpha_canonical"] == 0).sum())
    if zeros:
        notes.append(f"{zeros} runs at alpha 0 inform only forms that have a ceiling")
    if gate.side is not None:
        notes.append(f"one-sided: alpha for the target lies {gate.side} all runs")
    unconverged = int((~runs["converged"].fillna(value=True)).sum())
    if unconverged:
        notes.append(f"{unconverged} runs had not converged")
    return tuple(notes)


def _group_notes(group: Group, local: LocalFit | None, has_exponent: bool) -> tuple[str, ...]:
    notes: list[str] = []
    unknown = group.recipe.unknown
    if unknown:
        notes.append(f"not recorded, so unknown: {', '.join(unknown)}")
    if has_exponent:
        notes.append(
            "The exponent holds for this target, recipe and budget only: wider SAEs are less "
            "trained after the same steps."
        )
    if local is not None and len(group.runs) < 3 * len(local.latent_dims):
        notes.append("Few runs per width: the noise rests on the stated default of 3 %.")
    return tuple(notes)


def _all_converged(runs: pd.DataFrame) -> bool | None:
    """Whether all did; None where it is not recorded for every run."""
    known = runs["converged"].dropna()
    if not known.all():
        return False
    return True if len(known) == len(runs) else None


def _data_hash(runs: pd.DataFrame) -> str:
    text = runs[list(_HASHED)].to_csv(index=False, float_format="%.17g", lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()
