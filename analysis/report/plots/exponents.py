"""P5: the exponent in width, with each width left out, beside theory and the guide."""

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from analysis import formatting as show
from analysis.exponent import GUIDE_EXPONENT
from analysis.report.data import ReportData
from analysis.report.scaling import ExponentRow, exponent_rows
from analysis.report.svg import GUIDE, INK, MUTED, SERIES, Absent, Canvas, Drawing, canvas
from analysis.results import Refit

_TITLE = "The exponent in width, and what it rests on"


def draw_exponents(data: ReportData, fit: Refit, name: str) -> Drawing | Absent:
    """Draws the exponent's interval from all widths, without each of them, and from each pair."""
    rows = exponent_rows(data, fit)
    if not rows:
        reason = fit.exponent_reason or "there is no exponent"
        return Absent(name=name, title=_TITLE, reason=reason)
    with canvas(height=1.6 + 0.34 * len(rows)) as drawn:
        _draw_rows(drawn, rows)
        _draw_references(drawn, fit, rows)
        return drawn.finish(name, _TITLE, _caption(fit))


def _draw_rows(drawn: Canvas, rows: Sequence[ExponentRow]) -> None:
    colors = {"all": INK, "left out": SERIES[0], "pair": MUTED}
    for place, row in enumerate(rows):
        color = colors[row.kind]
        if row.low is not None and row.high is not None:
            drawn.axes.plot([row.low, row.high], [place, place], color=color, linewidth=2.4)
        title = f"{row.label}: {show.number(row.value)} ({show.interval(row.low, row.high)})"
        drawn.scatter([row.value], [place], [title], color=color, hollow=row.low is None)
    drawn.axes.set_yticks(range(len(rows)), [row.label for row in rows])
    drawn.axes.set_ylim(len(rows) - 0.4, -0.7)
    drawn.axes.xaxis.set_major_locator(MaxNLocator(6))
    drawn.axes.set_xlabel("exponent of alpha in width")


def _draw_references(drawn: Canvas, fit: Refit, rows: Sequence[ExponentRow]) -> None:
    ends = [value for row in rows for value in (row.value, row.low, row.high) if value is not None]
    low, high = min(*ends, fit.theory_exponent), max(*ends, fit.theory_exponent)
    margin = max(0.12 * (high - low), 0.05)
    drawn.axes.set_xlim(low - margin, high + margin)
    drawn.axes.axvline(fit.theory_exponent, color=MUTED, linestyle="--", linewidth=1.4)
    beyond = high + margin < GUIDE_EXPONENT
    if not beyond:
        drawn.axes.axvline(GUIDE_EXPONENT, color=GUIDE, linestyle="-.", linewidth=1.4)
    drawn.axes.annotate(
        f"the guide: {GUIDE_EXPONENT}{' >' if beyond else ''}",
        (1, 1),
        xycoords="axes fraction",
        xytext=(-2, 4),
        textcoords="offset points",
        ha="right",
        color=GUIDE,
    )


def _caption(fit: Refit) -> str:
    return (
        f"Bars are 95 % intervals; dashed is theory, {show.number(fit.theory_exponent)}; pairs "
        "of neighbouring widths are lines through two points and have none. An exponent that "
        "moves with the width left out is not one number."
    )
