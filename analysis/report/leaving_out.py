"""The exponent in width without each width in turn."""

from dataclasses import replace

import numpy as np

from analysis.exponent import ExponentFit, fit_exponent
from analysis.local import LocalFit
from analysis.results import Refit


def exponents_without(fit: Refit) -> tuple[tuple[int, ExponentFit], ...]:
    """The exponent without each width, by that width; empty where two widths would not be left.

    The curve shape stays the one that all widths were fitted with.
    """
    if fit.exponent is None or fit.local is None or len(fit.local.latent_dims) < 3:
        return ()
    local = fit.local
    return tuple((width, _without(local, at)) for at, width in enumerate(local.latent_dims))


def _without(local: LocalFit, index: int) -> ExponentFit:
    keep = np.delete(np.arange(len(local.latent_dims)), index)
    rest = replace(
        local,
        latent_dims=tuple(local.latent_dims[each] for each in keep),
        means=local.means[:, keep],
        covariances=local.covariances[:, keep][:, :, keep],
        slopes=local.slopes[:, keep],
        slope_sds=local.slope_sds[:, keep],
        curvatures=local.curvatures[:, keep],
    )
    return fit_exponent(rest)
