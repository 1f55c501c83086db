"""From trials to a law with honest intervals: tables, fits, audit and report.

Names are loaded when they are first used, so that `import analysis` costs next to nothing.
No module has the name of a public function (the function `refit` is in `refitting`): importing it
would hide the function.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis import guide
    from analysis.along import Along, alpha_along
    from analysis.answer import AlphaAnswer, predict
    from analysis.budget import StudySurface, study_surface
    from analysis.curves import CurveFit, Form, compare_forms, fit_curve
    from analysis.errors import AnalysisError
    from analysis.law import Law
    from analysis.mixture import Estimate
    from analysis.refitting import refit
    from analysis.results import Refit
    from analysis.trials import load_trials
    from analysis.units import from_canonical, to_canonical

__all__ = [
    "Along",
    "AlphaAnswer",
    "AnalysisError",
    "CurveFit",
    "Estimate",
    "Form",
    "Law",
    "Refit",
    "StudySurface",
    "alpha_along",
    "compare_forms",
    "fit_curve",
    "from_canonical",
    "guide",
    "load_trials",
    "predict",
    "refit",
    "study_surface",
    "to_canonical",
]

_HOME = {
    "Along": "analysis.along",
    "AlphaAnswer": "analysis.answer",
    "AnalysisError": "analysis.errors",
    "CurveFit": "analysis.curves",
    "Estimate": "analysis.mixture",
    "Form": "analysis.curves",
    "Law": "analysis.law",
    "Refit": "analysis.results",
    "StudySurface": "analysis.budget",
    "alpha_along": "analysis.along",
    "compare_forms": "analysis.curves",
    "study_surface": "analysis.budget",
    "fit_curve": "analysis.curves",
    "from_canonical": "analysis.units",
    "load_trials": "analysis.trials",
    "predict": "analysis.answer",
    "refit": "analysis.refitting",
    "to_canonical": "analysis.units",
}


_MODULES = ("guide",)


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"analysis.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
