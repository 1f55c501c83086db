"""Which figures a report has."""

from dataclasses import replace

from analysis.report.data import ReportData
from analysis.report.plots.alpha_width import draw_alpha_width
from analysis.report.plots.calibration import draw_calibration
from analysis.report.plots.collapse import draw_collapse
from analysis.report.plots.exponents import draw_exponents
from analysis.report.plots.l0_alpha import draw_l0_alpha
from analysis.report.plots.likelihood import draw_likelihood
from analysis.report.plots.pareto import draw_pareto
from analysis.report.plots.posterior import draw_posterior
from analysis.report.plots.residuals import draw_residuals
from analysis.report.plots.search_path import draw_search_path
from analysis.report.plots.training import draw_training
from analysis.report.svg import Absent, Drawing

Figures = tuple[Drawing | Absent, ...]

_ANSWER = {"l0-alpha": draw_l0_alpha, "alpha-width": draw_alpha_width}
_CHECKS = {
    "pareto": draw_pareto,
    "posterior": draw_posterior,
    "search-path": draw_search_path,
    "calibration": draw_calibration,
    "collapse": draw_collapse,
    "exponents": draw_exponents,
    "likelihood": draw_likelihood,
    "residuals": draw_residuals,
    "training": draw_training,
}
FIGURE_NAMES = (*_ANSWER, *_CHECKS)
"""Their files' names without ending; those of further groups have the group's number behind."""

_OF_ALL = frozenset({"pareto", "calibration"})
# Groups beyond have the figures of the answer, not those of the checks.
_MOST_GROUPS = 6
# A page of more trials than this would take long to make and to load with all of them.
MOST_TRIALS = 2000
"""Up to so many trials, every group has its own check figures."""


def draw_answers(data: ReportData) -> tuple[Figures, ...]:
    """The figures that show the answer, for every group of runs, the largest first."""
    drawn: list[Figures] = []
    for index, fit in enumerate(data.shown):
        suffix = "" if index == 0 else f"-{index + 1}"
        drawn.append(tuple(draw(data, fit, name + suffix) for name, draw in _ANSWER.items()))
    return tuple(drawn)


def draw_checks(data: ReportData) -> Figures:
    """The figures that say how far to trust it.

    All of the largest group of runs, or why they are not there; of each other group, as far as it
    has data, those that are not about all runs anyway.
    """
    drawn = [draw(data, data.fit, name) for name, draw in _CHECKS.items()]
    if len(data.shown) > 1 and len(data.trials) > MOST_TRIALS:
        reason = f"with more than {MOST_TRIALS} trials, report a group by itself for its checks"
        return (*drawn, Absent(name="other-groups", title="The other groups", reason=reason))
    for number, fit in enumerate(data.shown[1:_MOST_GROUPS], start=2):
        for name in (each for each in _CHECKS if each not in _OF_ALL):
            figure = _CHECKS[name](data, fit, f"{name}-{number}")
            if isinstance(figure, Drawing):
                drawn.append(replace(figure, title=f"{figure.title}: group {number}"))
    return tuple(drawn)
