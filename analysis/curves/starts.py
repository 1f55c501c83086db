"""Where the search for a form's parameters begins: a fixed grid laid over the data."""

from itertools import product

import numpy as np

from analysis.arrays import FloatArray
from analysis.curves.forms import FORMS, Form

_CEILING_FACTOR = 1.2
_SHAPES = (0.7, 1.4)
_SCALE_QUANTILES = (0.2, 0.5, 0.8)
_RATES = (0.3, 1.0, 3.0)
# Shares of the smallest L0: a floor may be just below the data or far below.
_FLOOR_SHARES = (0.3, 0.95)


def starts(form: Form, log_alpha: FloatArray, log_l0: FloatArray) -> FloatArray:
    """Ln parameters to start from, [starts, parameters].

    Args:
        form: The family.
        log_alpha: Ln alpha of the runs; minus infinity at alpha 0.
        log_l0: Ln L0 of the runs.
    """
    finite = log_alpha[np.isfinite(log_alpha)]
    top, bottom = float(log_l0.max()), float(log_l0.min())
    spread = max(float(finite.max() - finite.min()), 0.1)
    grids: dict[str, list[float]] = {
        "A": [top + float(np.log(_CEILING_FACTOR))],
        "k": [float(np.log(rate)) - float(np.median(finite)) for rate in _RATES],
        "s": [float(np.log(rate * max(top - bottom, 0.1) / spread)) for rate in _RATES],
        "scale": [float(np.quantile(finite, share)) for share in _SCALE_QUANTILES],
        "p": [float(np.log(shape)) for shape in _SHAPES],
        "F": [bottom + float(np.log(share)) for share in _FLOOR_SHARES],
    }
    points = np.array(list(product(*(grids[name] for name in FORMS[form].parameters))))
    if "s" in FORMS[form].parameters:  # a power's A is L0 at alpha 1, not a ceiling
        points[:, 0] += np.exp(points[:, 1]) * float(np.median(finite))
    return points
