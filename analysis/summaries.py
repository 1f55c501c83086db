"""The answers that the command line prints, as text: one line first, then tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis import formatting as show
from analysis.console import TextTable, Unwrapped, records_of
from analysis.records import State

if TYPE_CHECKING:  # the command line imports only what a command uses
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from analysis.along import Along
    from analysis.answer import AlphaAnswer
    from analysis.audit import Audit
    from analysis.audit.beside import Beside
    from analysis.comparing import Comparison
    from analysis.gate import Suggestion
    from analysis.results import Refit, WidthResult
    from analysis.status import StudyStatus, TrialStatus


def trials_answer(trials: pd.DataFrame) -> str:
    """How many trials there are, and of what kind."""
    counted = trials["state"].value_counts()
    names = [state.value for state in State if state.value in counted]
    names += sorted(set(counted.index.astype(str)) - set(names))
    states = ", ".join(f"{counted[name]} {name}" for name in names)
    widths = trials["latent_dim"].nunique()
    return f"{len(trials)} trials in {widths} width{'' if widths == 1 else 's'}: {states}."


def trials_table(trials: pd.DataFrame) -> TextTable:
    """One line a trial."""
    rows = tuple(
        (
            str(index if row["trial"] is None else row["trial"]),
            show.count(row["latent_dim"]),
            show.number(row["l1_alpha"]),
            show.number(row["l0"]),
            show.signed_percent(row["l0_log_error"]),
            show.number(row["fvu"]),
            show.percent(row["dead_fraction"], 2),
            row["state"] or show.MISSING,
            row["verdict"] or show.MISSING,
        )
        for index, row in enumerate(records_of(trials))
    )
    headers = ("trial", "width", "alpha", "L0", "off", "fvu", "dead", "state", "verdict")
    return TextTable(headers=headers, rows=rows)


def refit_answer(fit: Refit) -> str:
    """Alpha for the target, width by width, or why there is none."""
    asked = show.target(fit.target_l0)
    named = [width for width in fit.widths if width.point is not None]
    if not named:
        reasons = "; ".join(f"width {width.latent_dim}: {width.reason}" for width in fit.widths)
        return f"No alpha for {asked} may be named ({reasons})."
    listed = ", ".join(f"{show.number(width.point)} ({width.latent_dim})" for width in named)
    return f"Alpha for {asked}, by width: {listed}."


def refit_table(fit: Refit) -> TextTable:
    """One line a width."""
    rows = tuple(_width_row(width) for width in fit.widths)
    headers = ("width", "target", "alpha", "95 % interval", "runs", "elasticity", "next run")
    return TextTable(headers=headers, rows=rows)


def _width_row(width: WidthResult) -> tuple[str, ...]:
    star, following, slope = width.alpha_star, width.next_run, width.elasticity
    return (
        str(width.latent_dim),
        show.target_number(width.target_count),
        show.number(width.point),
        show.MISSING if star is None else show.interval(star.low, star.high),
        str(width.n),
        show.MISSING if slope is None else show.number(slope.value),
        show.MISSING if following is None else show.interval(following.low, following.high),
    )


def refit_lines(fit: Refit) -> list[str]:
    """Exponent, status, what is missing, what it holds for, what to run next."""
    from analysis.groups import differing_columns

    # What all groups share, or none of them says, is said once.
    apart = differing_columns(each.recipe for each in (fit, *fit.others))
    lines = [f"Status: {fit.status}." + _missing(fit)]
    has_alpha = any(width.point is not None for width in fit.widths)
    if fit.exponent is not None:
        beta = fit.exponent.beta
        lines.append(
            f"Alpha goes as width^{show.number(beta.value)} "
            f"({show.interval(beta.low, beta.high)}) over {len(fit.exponent.latent_dims)} widths; "
            f"theory {show.number(fit.theory_exponent)}, the guide 6.64."
        )
    elif fit.exponent_reason is not None:
        lines.append(f"No exponent in width: {fit.exponent_reason}.")
    lines += _budget_lines(fit)
    lines += _noise_lines(fit)
    lines += [
        f"Width {width.latent_dim}: {text}."
        for width in fit.widths
        # Without any alpha the answer itself says the reasons.
        for text in (width.reason if has_alpha else None, *width.notes)
        if text
    ]
    lines.append(_holds_for(fit.recipe.dividers(), f" (alpha in {fit.units} units)"))
    lines += [line for each in fit.suggestions for line in _suggestion_lines(fit, each)]
    lines += _exclusion_lines(fit)
    lines += _note_lines(fit.notes)
    several = [other for other in fit.others if not other.is_one_run]
    lines += [f"Also {other.recipe.describe(apart)}: {refit_answer(other)}" for other in several]
    alone = len(fit.others) - len(several)
    if alone:
        lines.append(f"Also {alone} group{'' if alone == 1 else 's'} of one run: no curve.")
    return lines


def along_lines(compared: Sequence[Along]) -> list[str]:
    """Alpha along the columns in which the groups of runs differ."""
    lines: list[str] = []
    for each in compared:
        listed = ", ".join(f"{show.number(point.alpha)} ({point.value})" for point in each.points)
        line = f"Along {each.column}, at width {each.latent_dim}: {listed}"
        if each.exponent is not None:
            found = each.exponent
            line += (
                f"; alpha goes as {each.column}^{show.number(found.value)} "
                f"({show.interval(found.low, found.high)})"
            )
        if each.changes_with:
            line += f"; {', '.join(each.changes_with)} changes with it"
        lines.append(f"{line}.")
    return lines


def _exclusion_lines(fit: Refit) -> list[str]:
    """One line a reason, with all its rows."""
    by_reason: dict[str, list[str]] = {}
    for each in fit.exclusions:
        by_reason.setdefault(each.reason, []).append(str(each.row))
    return [
        f"Row{'' if len(rows) == 1 else 's'} {', '.join(rows)} not used: {reason}."
        for reason, rows in by_reason.items()
    ]


def _noise_lines(fit: Refit) -> list[str]:
    """What the intervals hold, and what they do not."""
    if fit.noise is None or all(width.alpha_star is None for width in fit.widths):
        return []
    return [
        f"Noise: L0 scatters by about {show.percent(fit.noise, 2)} between runs; intervals hold "
        "for the held-out tokens that the runs share, whose own error is not in them."
    ]


def _budget_lines(fit: Refit) -> list[str]:
    """The exponents over widths and budgets together, where the runs have several budgets."""
    if fit.budget is None:
        return []
    point = fit.budget.point
    exponents = (("width", point.width_exponent), (fit.budget.budget_unit, point.budget_exponent))
    return [
        f"Over {len(fit.budget.budgets)} budgets, near width {fit.budget.latent_dim} and "
        f"{fit.budget.budget_unit} {show.number(fit.budget.budget)}: alpha goes as "
        f"({name})^{show.number(found.value)} ({show.interval(found.low, found.high)})."
        for name, found in exponents
        if found is not None
    ]


def _suggestion_lines(fit: Refit, suggestion: Suggestion) -> list[str]:
    """What to run next in words, and the command on a line of its own, to be pasted."""
    alpha = suggestion.l1_alpha
    wanted = f"width {suggestion.latent_dim}" + (
        "" if alpha is None else f", alpha {show.number(alpha)}"
    )
    words = f"Run next: {wanted} ({suggestion.why})"
    command = fit.command(suggestion)
    if command is None:
        return [f"{words}."]
    to_add = f", by the command {fit.keys_to_add}" if fit.keys_to_add else ""
    return [f"{words}{to_add}:", Unwrapped(command)]


def _missing(fit: Refit) -> str:
    return f" A law still needs: {'; '.join(fit.missing)}." if fit.missing else ""


def alpha_answer(answer: AlphaAnswer) -> str:
    """Alpha with its interval."""
    spread = (
        "no interval"
        if answer.low is None
        else f"95 % interval {show.interval(answer.low, answer.high)}"
    )
    wanted = show.target_number(answer.target_count)
    return (
        f"alpha {show.number(answer.alpha, 4)} ({spread}) gives L0 {wanted} "
        f"at width {answer.latent_dim}, {answer.units} units."
    )


def alpha_lines(answer: AlphaAnswer) -> list[str]:
    """What it rests on and holds for."""
    from analysis.groups import dividers_of

    shared = "" if answer.low is None else "; the interval is for the runs' own held-out tokens"
    lines = [
        f"From {answer.basis}; {answer.status}{shared}.",
        _holds_for(dividers_of(answer.recipe)),
    ]
    return lines + _note_lines(answer.notes)


def _note_lines(notes: Sequence[str]) -> list[str]:
    """The notes but what `Holds for` says already."""
    from analysis.results import UNKNOWN

    return [f"Note: {note}" for note in notes if not note.startswith(UNKNOWN)]


def _holds_for(dividers: Mapping[str, object], units: str = "") -> str:
    """What the runs share, and by name alone what they do not say."""
    known = [f"{name}={value}" for name, value in dividers.items() if value is not None]
    unknown = [name for name, value in dividers.items() if value is None]
    line = f"Holds for: {', '.join(known) or 'these runs'}{units}"
    return f"{line}; not recorded: {', '.join(unknown)}." if unknown else f"{line}."


def beside_lines(found: Sequence[Beside]) -> list[str]:
    """What a study says beside the guide."""
    words = {True: "agrees", False: "differs", None: "open"}
    return [
        f"Study: {each.quantity}: {each.study}; the guide: {each.guide} ({words[each.agrees]})."
        for each in found
    ]


def compare_answer(compared: Comparison) -> str:
    """How many cells the studies share."""
    cells, studies = compared.cells, compared.cells["study"].nunique()
    sizes = cells.groupby(compared.cell_columns, dropna=False)["study"].nunique()
    return (
        f"{studies} stud{'y' if studies == 1 else 'ies'}, "
        f"{len(sizes)} cell{'' if len(sizes) == 1 else 's'} for "
        f"{show.target(compared.target_l0)}, {int((sizes > 1).sum())} in more than one study."
    )


def compare_table(compared: Comparison) -> TextTable:
    """One line per cell and study; a narrow terminal loses what tells cells apart before alpha."""
    also = compared.also_differ
    headers = (
        "width", "study", "alpha", "95 % interval", "steps", *also, "runs", "to band", "time",
        "fvu", "dead", "arch.",
    )  # fmt: skip
    rows = tuple(
        (
            str(row["latent_dim"]),
            str(row["study"]),
            show.number(row["alpha"]),
            show.MISSING
            if row["alpha_low"] is None
            else show.interval(row["alpha_low"], row["alpha_high"]),
            show.count(row["total_steps"]),
            *(show.MISSING if row[name] is None else str(row[name]) for name in also),
            f"{row['trials']}",
            show.count(row["trials_to_band"]),
            show.duration(row["wall_s"]),
            show.number(row["best_fvu"]),
            show.percent(row["best_dead"], 2),
            row["architecture"] or show.MISSING,
        )
        for row in records_of(compared.cells)
    )
    return TextTable(headers=headers, rows=rows, shortened=("study",))


def compare_lines(compared: Comparison) -> list[str]:
    """Why cells have no alpha, and the fronts."""
    lines = [f"Note: {note}." for note in compared.notes]
    lines += [
        f"{row['study']}, width {row['latent_dim']}: {row['reason']}."
        for row in records_of(compared.cells)
        if row["reason"] is not None
    ]
    for (study, architecture), front in compared.fronts.groupby(
        ["study", compared.fronts["architecture"].fillna("unknown architecture")], sort=True
    ):
        points = ", ".join(
            f"({show.number(row['l0'])}, {show.number(row['fvu'])})" for row in records_of(front)
        )
        lines.append(f"Front of (L0, fvu), {study}, {architecture}: {points}.")
    return lines


def status_table(status: StudyStatus) -> TextTable:
    """One line a trial."""
    headers = ("trial", "state", "width", "alpha", "L0", "steps", "fvu", "verdict", "silent")
    return TextTable(headers=headers, rows=tuple(_status_row(each) for each in status.trials))


def _status_row(trial: TrialStatus) -> tuple[str, ...]:
    steps = show.MISSING if trial.step is None else str(trial.step)
    if trial.total_steps is not None:
        steps += f"/{trial.total_steps}"
    return (
        trial.name,
        trial.state,
        show.MISSING if trial.latent_dim is None else str(trial.latent_dim),
        show.number(trial.alpha_canonical),
        show.number(trial.l0),
        steps,
        show.number(trial.fvu),
        trial.verdict or show.MISSING,
        show.duration(trial.silent_s),
    )


def audit_lines(audit: Audit) -> list[str]:
    """Every claim with its outcome, and under it what its data say."""
    lines: list[str] = []
    for claim in audit.claims:
        flag = " (0 degrees of freedom)" if claim.degrees_of_freedom == 0 else ""
        lines.append(f"{claim.number}. {claim.outcome}{flag}: {claim.claim} [{claim.source}]")
        lines.append(f"  {claim.recomputed}")
    return lines
