"""Which figures a report has."""

from analysis.report.data import ReportData
from analysis.report.plots.alpha_width import draw_alpha_width
from analysis.report.plots.l0_alpha import draw_l0_alpha
from analysis.report.svg import Absent, Drawing


def draw_all(data: ReportData) -> tuple[Drawing | Absent, ...]:
    """Every figure, or why it is not there: group by group, the largest first."""
    drawn: list[Drawing | Absent] = []
    for index, fit in enumerate(data.fits):
        suffix = "" if index == 0 else f"-{index + 1}"
        drawn.append(draw_l0_alpha(data, fit, f"l0-alpha{suffix}"))
        drawn.append(draw_alpha_width(data, fit, f"alpha-width{suffix}"))
    return tuple(drawn)
