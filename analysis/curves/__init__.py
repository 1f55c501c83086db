"""Global curve forms L0(alpha), their fits, and which of them the runs speak for."""

from analysis.curves.comparison import Comparison, FormScore, compare_forms
from analysis.curves.fitting import CurveFit, fit_curve, two_point_exponent
from analysis.curves.forms import FORMS, Form, FormSpec

__all__ = [
    "FORMS",
    "Comparison",
    "CurveFit",
    "Form",
    "FormScore",
    "FormSpec",
    "compare_forms",
    "fit_curve",
    "two_point_exponent",
]
