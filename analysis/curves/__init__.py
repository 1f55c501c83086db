"""Global curve forms L0(alpha) and their fits."""

from analysis.curves.fitting import CurveFit, fit_curve, two_point_exponent
from analysis.curves.forms import FORMS, Form, FormSpec

__all__ = ["FORMS", "CurveFit", "Form", "FormSpec", "fit_curve", "two_point_exponent"]
