"""From a trial table to curves, alphas for the target and their exponent in width."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.bracketing import LocalCell, secant
from analysis.budget import BudgetResult, budget_result
from analysis.candidates import best_candidate
from analysis.cells import runs_of_nothing, smallest_alphas, widths_of
from analysis.convergence import without_unconverged
from analysis.errors import AnalysisError
from analysis.exponent import fit_exponent, theory_exponent
from analysis.gate import K_SETS_L0, judge_exponent, without_alpha
from analysis.groups import Group, Recipe, differing_columns, split
from analysis.local import LocalFit, fit_local
from analysis.records import Units
from analysis.results import UNKNOWN, Refit
from analysis.selection import aims_elsewhere, select
from analysis.typed_tables import as_trials, units_of
from analysis.untrained import notes_on_dense_runs
from analysis.useless_runs import useless_around_target
from analysis.width_results import impossible_result, result_of_k, width_result

# Above it, and below so many degrees of freedom, the noise's prior (3 %) holds the intervals back.
_MUCH_NOISE = 0.05
_LITTLE_FREEDOM = 4
_NAMED_GROUPS = 4
_HASHED = ("latent_dim", "alpha_canonical", "l0", "seed")


def refit(trials: pd.DataFrame, *, target_l0: float, by: Sequence[str] = ()) -> Refit:
    """Fits what the trials allow, and says what they do not.

    Runs of several architectures, penalties, data sets or recipes are never mixed: the largest
    group is returned, the others are its `others`.

    Args:
        trials: A table as `analysis.load_trials` returns it.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        by: Further columns whose runs are never mixed, such as a foreign table's `corpus`; the
            recipe, searched keys, and columns such as `layer` and `model` divide runs anyway.

    Raises:
        AnalysisError: The target is not positive, the table lacks a column of the record or mixes
            units of alpha, no row is usable, or `by` names no column.
    """
    if not (math.isfinite(target_l0) and target_l0 > 0):
        raise AnalysisError(f"target_l0 must be positive and finite, but got {target_l0!r}.")
    trials = as_trials(trials)
    selection = select(trials, by, target_l0)
    if selection.usable.empty:
        reasons = Counter(exclusion.reason for exclusion in selection.exclusions)
        why = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        raise AnalysisError(
            "trials must hold at least one usable run, but all "
            f"{len(trials)} are excluded{f': {why}' if why else ''}."
        )
    units = units_of(trials)
    notes = [str(note) for note in trials.attrs.get("notes", [])]
    notes += [
        f"{problem['source']}: {problem['reason']}" for problem in trials.attrs.get("problems", [])
    ]
    notes += _widths_without_runs(trials, selection.usable)
    notes += notes_on_dense_runs(selection.usable)
    groups = split(selection.usable, by)
    if len(groups) > 1:
        notes.append(_apart([group.recipe for group in groups]))
    best = best_candidate(groups, target_l0)
    if best is not None:
        notes.append(best)
    aimed = trials[~aims_elsewhere(trials, target_l0)]
    nothing = runs_of_nothing(aimed)
    fits = [_refit_group(group, target_l0, units, _bounds_of(group, nothing)) for group in groups]
    exclusions = [*selection.exclusions, *(each for fit in fits for each in fit.exclusions)]
    budget, budget_reason = _budget(aimed, target_l0, by, fits[0].recipe)
    return replace(
        fits[0],
        budget=budget,
        budget_reason=budget_reason,
        exclusions=tuple(sorted(exclusions, key=lambda each: each.row)),
        notes=(*notes, *fits[0].notes),
        others=tuple(replace(other, exclusions=()) for other in fits[1:]),
    )


def _apart(recipes: Sequence[Recipe]) -> str:
    """What divides the groups, and which they are."""
    columns = differing_columns(recipes)
    named = [recipe.describe(columns) for recipe in recipes[:_NAMED_GROUPS]]
    more = len(recipes) - len(named)
    return (
        f"{len(recipes)} groups of runs ({', '.join(columns)} differ) are fitted apart, the "
        f"largest first: {'; '.join(named)}{f'; and {more} more' if more else ''}."
    )


def _widths_without_runs(trials: pd.DataFrame, usable: pd.DataFrame) -> list[str]:
    counted = trials["latent_dim"].value_counts().sort_index()
    kept = set(usable["latent_dim"])
    return [
        f"width {width}: none of its trials ({n}) can be used"
        for width, n in counted.items()
        if width not in kept
    ]


def _budget(
    trials: pd.DataFrame, target_l0: float, by: Sequence[str], recipe: Recipe
) -> tuple[BudgetResult | None, str | None]:
    if not recipe.has_alpha:
        return None, K_SETS_L0
    try:
        return budget_result(trials, target_l0, by, recipe), None
    except AnalysisError as error:
        return None, str(error)


def _bounds_of(group: Group, nothing: pd.DataFrame) -> Mapping[int, float]:
    """By width, the smallest alpha at which nothing was left of a run.

    Args:
        group: Of runs.
        nothing: Such runs, of the whole table.
    """
    return {} if nothing.empty else smallest_alphas(nothing[group.recipe.may_hold(nothing)])


def _refit_group(
    group: Group, target_l0: float, units: Units, bounds: Mapping[int, float]
) -> Refit:
    runs, unconverged = without_unconverged(group.runs, target_l0)
    widths, impossible = widths_of(runs, target_l0, bounds)
    cells = [width.cell for width in widths]
    bracketed = [cell for cell in cells if cell.bracketed_once]
    local = fit_local(bracketed) if bracketed and group.recipe.has_alpha else None
    useless = {width.cell.latent_dim: useless_around_target(width) for width in widths}
    gate = judge_exponent(
        cells,
        all_converged=_all_converged(runs),
        log_alphas=[secant(cell) for cell in bracketed],
        useless=[latent_dim for latent_dim, runs_around in useless.items() if runs_around],
    )
    if not group.recipe.has_alpha:
        gate = without_alpha()
        results = [result_of_k(width) for width in widths]
        results += [replace(impossible_result(width), reason=K_SETS_L0) for width in impossible]
    else:
        results = [width_result(width, local, useless[width.cell.latent_dim]) for width in widths]
        results += [impossible_result(width) for width in impossible]
    exponent = fit_exponent(local) if gate.allowed and local is not None else None
    results.sort(key=lambda result: result.latent_dim)
    suggestions = [each for result in results for each in result.suggestions]
    return Refit(
        target_l0=target_l0,
        units=units,
        recipe=group.recipe,
        status=gate.status,
        missing=gate.missing,
        widths=tuple(results),
        noise=None if local is None else local.noise(),
        exponent=exponent,
        exponent_reason=gate.reason,
        theory_exponent=theory_exponent(target_l0),
        suggestions=tuple(dict.fromkeys([*suggestions, *gate.suggestions])),
        exclusions=unconverged,
        notes=_group_notes(group, local, bracketed, exponent is not None),
        data_hash=_data_hash(runs),
        local=local,
    )


def _group_notes(
    group: Group, local: LocalFit | None, bracketed: Sequence[LocalCell], has_exponent: bool
) -> tuple[str, ...]:
    notes: list[str] = []
    unknown = group.recipe.unknown
    if unknown:
        notes.append(f"{UNKNOWN}: {', '.join(unknown)}")
    if has_exponent:
        notes.append(
            "The exponent holds for this target, recipe and budget only: wider SAEs are less "
            "trained after the same steps."
        )
    if local is not None and len(group.runs) < 3 * len(local.latent_dims):
        notes.append("Few runs per width: the noise rests on the stated default of 3 %.")
    if local is not None:
        # Each width's height and slope are taken from its runs.
        freedom = sum(len(cell.log_alpha) - 2 for cell in bracketed)
        if local.noise() > _MUCH_NOISE and freedom < _LITTLE_FREEDOM:
            notes.append(
                f"The runs scatter by about {100 * local.noise():.0f} % in L0 about their curve, "
                f"which {freedom} degree{'' if freedom == 1 else 's'} of freedom cannot settle: "
                "the intervals may be too narrow; more runs near the target would tell."
            )
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
