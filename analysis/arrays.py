"""The array type of the fits."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
"""An array of real numbers; every fit computes in float64."""
