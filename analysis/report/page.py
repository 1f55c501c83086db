"""The page: what was asked, the answer first, then what it rests on."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from analysis import formatting as show
from analysis.console import records_of
from analysis.exponent import GUIDE_EXPONENT
from analysis.report.check_tables import CheckTable
from analysis.report.data import ReportData
from analysis.report.figures import Figures
from analysis.report.svg import Absent, Drawing
from analysis.report.tables import PageTable, frame_page, trials_page, widths_page
from analysis.results import Refit, WidthResult

_FOLDER: Final = Path(__file__).parent
_MOST_CARDS: Final = 8
MOST_ROWS: Final = 1000
"""Rows of the trial table in the page; more would only slow it down, and the CSV has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Everything that a page shows."""

    data: ReportData
    """Trials and fits."""
    answers: tuple[Figures, ...]
    """The figures of each group of runs."""
    checks: Figures
    """The figures that say how far to trust it."""
    tables: tuple[CheckTable | Absent, ...]
    """The tables that do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """The answer for one width."""

    width: str
    """Latents."""
    alpha: str | None
    """Alpha, where it may be named."""
    spread: str
    """Its interval, or why there is none."""
    badge: str
    """In band or not."""
    kind: str
    """CSS class of the badge: success, warning or failure."""
    detail: str
    """The best run, or what to run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One group of runs: its answer, its figures, its widths."""

    heading: str
    """What distinguishes the group, empty if there is only one."""
    fit: Refit
    """Its fit."""
    cards: tuple[Card, ...]
    """One a width, where they are few."""
    exponent: str
    """The exponent in width in one sentence, or why there is none."""
    recipe: tuple[tuple[str, str], ...]
    """What it holds for."""
    suggestions: tuple[tuple[str, str | None], ...]
    """What to run next, in words and as a command."""
    widths: PageTable
    """T2."""
    figures: Figures
    """Its figures."""


def render(
    content: Content, *, title: str, command: str | None, refresh_s: float | None = None
) -> str:
    """The whole page as one HTML document; every text from outside is escaped."""
    data = content.data
    sections = tuple(
        _section(data, fit, figures, index)
        for index, (fit, figures) in enumerate(zip(data.shown, content.answers, strict=True))
    )
    return (
        _environment()
        .get_template("template.html")
        .render(
            title=title,
            question=_question(data),
            command=command,
            refresh_s=None if refresh_s is None else max(round(refresh_s), 1),
            sections=sections,
            checks=content.checks,
            tables=tuple((each, _page_of(each)) for each in content.tables),
            trials=trials_page(data, MOST_ROWS),
            total=len(data.trials),
            notes=data.fit.notes,
            data_hash=data.fit.data_hash,
            tolerance=f"{100 * data.tolerance:g}",
            is_drawing=_is_drawing,
        )
    )


def _page_of(table: CheckTable | Absent) -> PageTable | None:
    return frame_page(table.frame) if isinstance(table, CheckTable) else None


def _is_drawing(figure: Drawing | Absent) -> bool:
    return isinstance(figure, Drawing)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _question(data: ReportData) -> str:
    widths = [width.latent_dim for fit in data.fits for width in fit.widths]
    low, high = min(widths), max(widths)
    span = f"width {low:,}" if low == high else f"widths {low:,} to {high:,}"
    return f"Which L1 alpha gives {show.target(data.fit.target_l0)}, at {span}?"


def _section(data: ReportData, fit: Refit, figures: Figures, index: int) -> Section:
    few = len(fit.widths) <= _MOST_CARDS
    return Section(
        heading=_heading(data, fit, index),
        fit=fit,
        cards=tuple(_card(data, width) for width in fit.widths) if few else (),
        exponent=_exponent(fit),
        recipe=_recipe(fit),
        suggestions=tuple(
            (
                f"Width {each.latent_dim:,}"
                + ("" if each.l1_alpha is None else f" at alpha {show.number(each.l1_alpha)}")
                + f": {each.why}"
                + (f" (the command, {fit.keys_to_add})." if fit.keys_to_add else "."),
                fit.command(each),
            )
            for each in fit.suggestions
        ),
        widths=widths_page(data, fit),
        figures=figures,
    )


def _heading(data: ReportData, fit: Refit, index: int) -> str:
    """What distinguishes a group of runs from the others; empty if it is the only one."""
    if len(data.fits) == 1:
        return ""
    texts = [dict(_recipe(each)) for each in data.fits]
    mine = dict(_recipe(fit))
    differing = [
        f"{name} {value}"
        for name, value in mine.items()
        if any(other.get(name) != value for other in texts)
    ]
    return f"Group {index + 1} of {len(data.fits)}: {', '.join(differing)}"


def _card(data: ReportData, width: WidthResult) -> Card:
    landed = data.landed(width)
    if len(landed):
        best = records_of(landed.iloc[:1])[0]
        badge, kind = f"{len(landed)} in band", "success"
        detail = (
            f"best {best['label']}: alpha {show.number(best['alpha_canonical'])}, "
            f"L0 {show.number(best['l0'])}, fvu {show.number(best['fvu'])}"
        )
    else:
        badge, kind = "no run in band", "warning" if width.bracketed else "failure"
        detail = _nearest(data, width)
    star = width.alpha_star
    spread = width.reason or ""
    if star is not None:
        spread = f"95 % interval {show.interval(star.low, star.high)}"
    return Card(
        width=f"{width.latent_dim:,}",
        alpha=None if width.point is None else show.number(width.point),
        spread=spread,
        badge=badge,
        kind=kind,
        detail=detail,
    )


def _nearest(data: ReportData, width: WidthResult) -> str:
    rows = data.rows(width).dropna(subset=["log_error"])
    if rows.empty:
        return ""
    nearest = records_of(rows.sort_values("log_error", key=abs, kind="stable").iloc[:1])[0]
    alpha, l0 = show.number(nearest["alpha_canonical"]), show.number(nearest["l0"])
    return f"nearest {nearest['label']}: alpha {alpha}, L0 {l0}"


def _exponent(fit: Refit) -> str:
    """Alpha's exponents in width and budget in words, or why there is none in width."""
    return f"{_width_exponent(fit)}{_budget_exponent(fit)}"


def _budget_exponent(fit: Refit) -> str:
    budget = fit.budget
    if budget is None or budget.point.budget_exponent is None:
        return ""
    by = budget.point.budget_exponent
    return (
        f" In {budget.budget_unit} it goes to the power {show.number(by.value)} "
        f"({show.interval(by.low, by.high)}), over all groups of runs."
    )


def _width_exponent(fit: Refit) -> str:
    if fit.exponent is None:
        return f"No exponent in width: {fit.exponent_reason}."
    beta = fit.exponent.beta
    inside = "inside" if beta.contains(GUIDE_EXPONENT) else "outside"
    tested = "" if len(fit.exponent.latent_dims) > 2 else " Two widths: the form is not tested."
    return (
        f"Alpha goes as width to the power {show.number(beta.value)} "
        f"({show.interval(beta.low, beta.high)}). Theory gives "
        f"{show.number(fit.theory_exponent)}; the guide's {GUIDE_EXPONENT} is {inside} the "
        f"interval.{tested}"
    )


def _recipe(fit: Refit) -> tuple[tuple[str, str], ...]:
    names = {
        "architecture": "architecture",
        "penalty": "penalty",
        "activations": "activations",
        "d_in": "d_in",
        "total_steps": "steps",
        "batch_size": "batch size",
        "learning_rate": "learning rate",
    }
    known = [
        (label, "not recorded" if value is None else _plain(value))
        for name, label in names.items()
        for value in [getattr(fit.recipe, name)]
    ]
    units = "canonical" if fit.units == "canonical" else "the file's own"
    return (
        *known,
        *((key, _plain(value)) for key, value in fit.recipe.searched),
        ("alpha in", f"{units} units"),
    )


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
