"""Alpha in canonical units, and in those of other trainers.

Canonical data is x = s (r - mean) with r the raw activation and s = sqrt(d_in / E||r - mean||^2),
so that E||x||^2 = d_in. The canonical loss, mean over the batch, is

    loss(x) = sum over d_in of (x - x_hat)^2 + alpha * sum over latents of f_i ||W_dec,i||.

How alpha changes with the scale of the data: let an SAE act on data scaled by c. With f -> c f and
x_hat -> c x_hat (biases scaled by c, weights unchanged) the first term grows by c^2 and the second
by c, so loss_c(alpha_c) = c^2 * loss(alpha) for every set of weights exactly when

    alpha_c = c * alpha.

A shift of the data changes nothing, since b_dec and b_enc take it up. A constant factor on the
loss does not move its minimiser, and Adam does not see it either. Means instead of sums are such
factors on the two terms: means over d_in and over n latents give alpha * d_in / n in summed units.

JumpReLU's penalties are others. A penalty of degree p in f (f -> c f makes it c^p times as large)
gives in the same way

    alpha_c = c^(2 - p) * alpha.

The number of active latents, `l0`, and its squared relative distance from the target, `quadratic`,
do not change with f (thresholds scale with it): p = 0, so alpha_c = c^2 * alpha. A mean over n
latents divides `l0` by n, as it does the L1; a relative distance does not see it. `tanh` saturates
and has no degree, so no alpha on other data is equivalent to a canonical one: only means convert.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from analysis.errors import AnalysisError


class Objective(StrEnum):
    """A named convention for the loss."""

    canonical = "canonical"
    guide = "guide"
    saelens = "saelens"
    dictionary_learning = "dictionary_learning"
    anthropic = "anthropic"
    gemma_scope = "gemma_scope"


class Reduction(StrEnum):
    """How a term is reduced over d_in (squared error) or over latents (L1)."""

    sum = "sum"
    mean = "mean"


class InputScale(StrEnum):
    """How the convention scales its data."""

    centred_rms = "centred_rms"
    """Centred, E||x||^2 = d_in: canonical."""
    mean_norm = "mean_norm"
    """Uncentred, E||x|| = sqrt(d_in)."""
    unit_rms = "unit_rms"
    """Uncentred, E||x||^2 = 1."""
    raw = "raw"
    """As it comes from the model."""
    as_given = "as_given"
    """Unknown: alpha is taken as if it were canonical, which is an assumption."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveConfig:
    """The convention in which a user states alpha."""

    name: Objective = Objective.canonical
    """The convention's name, kept in every record."""
    mse_reduction: Reduction = Reduction.sum
    """Squared error over d_in."""
    l1_reduction: Reduction = Reduction.sum
    """Penalty over latents."""
    scale: InputScale = InputScale.centred_rms
    """The data the loss is computed on."""


# Sources: SAELens 6 `expected_average_only_in` and its summed losses; dictionary_learning 0.1
# `normalize_activations=True`; Anthropic's April 2024 update (E||x|| = sqrt(d_in)); Gemma Scope
# (unit mean squared norm). The guide states neither reductions nor scale.
_SCALES: dict[Objective, InputScale] = {
    Objective.canonical: InputScale.centred_rms,
    Objective.guide: InputScale.as_given,
    Objective.saelens: InputScale.mean_norm,
    Objective.dictionary_learning: InputScale.unit_rms,
    Objective.anthropic: InputScale.mean_norm,
    Objective.gemma_scope: InputScale.unit_rms,
}

# Degree in f of each penalty in a record; see the top of this module. Without alpha (`none`) the
# factor is of no consequence.
_DEGREES = {"l1": 1, "none": 1, "l0": 0, "quadratic": 0}

_ASSUMPTIONS: dict[Objective, str] = {
    Objective.guide: (
        "The guide states neither the reductions nor the data's scale; its alphas are taken as "
        "canonical. This is an assumption."
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationScale:
    """The norms of a data set that conversions need."""

    d_in: int
    """Dimension of an activation."""
    centred_rms_norm: float
    """sqrt(E||r - mean||^2) of the raw activations r."""
    raw_mean_norm: float | None = None
    """E||r||."""
    raw_rms_norm: float | None = None
    """sqrt(E||r||^2)."""

    def __post_init__(self) -> None:
        """Refuses sizes and norms that cannot be.

        Raises:
            AnalysisError: A value is not positive and finite.
        """
        for name in ("d_in", "centred_rms_norm", "raw_mean_norm", "raw_rms_norm"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise AnalysisError(f"{name} must be positive and finite, but got {value!r}.")


def objective_config(name: Objective | str) -> ObjectiveConfig:
    """The convention of that name, with its reductions (all of them sums) and its scale.

    Raises:
        AnalysisError: There is no such convention.
    """
    try:
        objective = Objective(name)
    except ValueError:
        listed = ", ".join(Objective)
        raise AnalysisError(f"objective must be one of {listed}, but got {name!r}.") from None
    return ObjectiveConfig(name=objective, scale=_SCALES[objective])


def assumption(objective: ObjectiveConfig | Objective | str) -> str | None:
    """What a conversion from this convention assumes, in one sentence; None where nothing."""
    return _ASSUMPTIONS.get(_resolve(objective).name)


def to_canonical(
    alpha: float,
    objective: ObjectiveConfig | Objective | str,
    scale: ActivationScale | None = None,
    latent_dim: int | None = None,
    *,
    penalty: str = "l1",
) -> float:
    """Alpha of another convention in canonical units; derived at the top of this module.

    Args:
        alpha: The coefficient as the user states it, at least 0.
        objective: Its convention.
        scale: The data's norms; needed unless the convention's data is canonical already.
        latent_dim: Width; needed where the convention takes a mean over latents.
        penalty: What alpha multiplies, as in a trial record.

    Raises:
        AnalysisError: alpha is negative or not finite, a norm or width is needed and missing, or
            the penalty's alpha has no equivalent on the convention's data.
    """
    return _check_alpha(alpha) / canonical_factor(objective, scale, latent_dim, penalty=penalty)


def from_canonical(
    alpha: float,
    objective: ObjectiveConfig | Objective | str,
    scale: ActivationScale | None = None,
    latent_dim: int | None = None,
    *,
    penalty: str = "l1",
) -> float:
    """Canonical alpha in the units of another convention; the inverse of `to_canonical`.

    Raises:
        AnalysisError: As `to_canonical`.
    """
    return _check_alpha(alpha) * canonical_factor(objective, scale, latent_dim, penalty=penalty)


def canonical_factor(
    objective: ObjectiveConfig | Objective | str,
    scale: ActivationScale | None = None,
    latent_dim: int | None = None,
    *,
    penalty: str = "l1",
) -> float:
    """Alpha in the convention's units divided by alpha in canonical units.

    It is ((scale of the convention's data) / (scale of canonical data))^(2 - degree of the
    penalty), times n / d_in as far as the terms are means.

    Raises:
        AnalysisError: A norm or width is needed and missing, or the penalty's alpha has no
            equivalent on the convention's data.
    """
    config = _resolve(objective)
    check_convertible(config, penalty)
    factor = 1.0
    if needs_norms(config):
        factor = _scale_factor(config.scale, scale) ** (2 - _DEGREES[penalty])
    if config.mse_reduction is Reduction.mean:
        factor /= _require(scale, "d_in", "d_in")
    if config.l1_reduction is Reduction.mean and penalty != "quadratic":
        if latent_dim is None:
            raise AnalysisError("latent_dim must be known for a mean over latents, but got None.")
        factor *= latent_dim
    return factor


def needs_norms(objective: ObjectiveConfig | Objective | str) -> bool:
    """Whether a convention's data is scaled in another way than canonical data.

    Raises:
        AnalysisError: There is no such convention.
    """
    return _resolve(objective).scale not in (InputScale.centred_rms, InputScale.as_given)


def check_convertible(objective: ObjectiveConfig | Objective | str, penalty: str) -> None:
    """Refuses a convention whose alpha has no equivalent in canonical units.

    Raises:
        AnalysisError: Its data is scaled in another way, and the penalty has no degree in f.
    """
    config = _resolve(objective)
    if needs_norms(config) and penalty not in _DEGREES:
        raise AnalysisError(
            f"penalty must be one of {', '.join(_DEGREES)} for alpha to be converted between "
            f"canonical and {config.name} units ({config.scale} data), but got {penalty!r}."
        )


def _scale_factor(input_scale: InputScale, scale: ActivationScale | None) -> float:
    d_in = _require(scale, "d_in", input_scale)
    raw_over_canonical = _require(scale, "centred_rms_norm", input_scale) / math.sqrt(d_in)
    if input_scale is InputScale.raw:
        return raw_over_canonical
    if input_scale is InputScale.mean_norm:
        return math.sqrt(d_in) / _require(scale, "raw_mean_norm", input_scale) * raw_over_canonical
    return raw_over_canonical / _require(scale, "raw_rms_norm", input_scale)


def _require(scale: ActivationScale | None, name: str, wanted_by: str) -> float:
    value = None if scale is None else getattr(scale, name)
    if value is None:
        raise AnalysisError(f"{name} must be known to convert {wanted_by} units, but got None.")
    return float(value)


def _resolve(objective: ObjectiveConfig | Objective | str) -> ObjectiveConfig:
    return objective if isinstance(objective, ObjectiveConfig) else objective_config(objective)


def _check_alpha(alpha: float) -> float:
    if not math.isfinite(alpha) or alpha < 0:
        raise AnalysisError(f"alpha must be at least 0 and finite, but got {alpha!r}.")
    return alpha


def target_count(target_l0: float, latent_dim: int) -> float:
    """The target as a number of active latents: below 1 it is a fraction, from 1 on a count.

    Raises:
        AnalysisError: The target lies outside (0, latent_dim].
    """
    if latent_dim < 1:
        raise AnalysisError(f"latent_dim must be at least 1, but got {latent_dim!r}.")
    if not 0 < target_l0 <= latent_dim:
        raise AnalysisError(
            f"target_l0 must be above 0 and at most latent_dim ({latent_dim}), "
            f"but got {target_l0!r}."
        )
    return target_l0 * latent_dim if target_l0 < 1 else float(target_l0)


def target_fraction(target_l0: float, latent_dim: int) -> float:
    """The target as a fraction of latent_dim.

    Raises:
        AnalysisError: The target lies outside (0, latent_dim].
    """
    return target_count(target_l0, latent_dim) / latent_dim
