"""The alpha for a width and a target, from whatever there is: a study, a table, a law file."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.law import Law
from analysis.refitting import refit
from analysis.results import Refit, WidthResult
from analysis.sources import Source, name_of
from analysis.trials import load_trials
from analysis.units import ActivationScale, assumption, canonical_factor, target_count

_Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaAnswer:
    """Alpha for one width and one target, and how it is known."""

    latent_dim: int
    """Width."""
    target_count: float
    """The target in latents."""
    alpha: float
    """In `units`."""
    low: float | None
    """Lower end of its 95 % interval; None where the runs allow none."""
    high: float | None
    """Upper end of it."""
    units: str
    """A convention's name; `canonical` and `as_given` as in `analysis.records.Units`."""
    basis: str
    """What it rests on, in words."""
    status: str
    """law or provisional."""
    recipe: Mapping[str, Any]
    """What it holds for; null for what the runs do not say."""
    notes: tuple[str, ...]
    """What a reader must know."""


def answer_alpha(source: Source, *, latent_dim: int, target_l0: float) -> AlphaAnswer:
    """Finds alpha, in the source's own units.

    Args:
        source: A law file, or trials as `analysis.load_trials` takes them.
        latent_dim: Width.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.

    Raises:
        AnalysisError: The source cannot be read, or allows no alpha; the message says what to run.
    """
    target_count(target_l0, latent_dim)
    if _is_law(source):
        law = Law.load(source, units=None)
        return _from_law(law, latent_dim, target_l0, f"the law in {name_of(source)}")
    fit = refit(load_trials(source), target_l0=target_l0)
    width = fit.width(latent_dim)
    if width is not None and width.bracketed:
        return _from_width(fit, width)
    if fit.exponent is None:
        raise AnalysisError(_refusal(fit, width, latent_dim))
    return _from_law(Law.from_refit(fit), latent_dim, target_l0, "the law of these runs")


def convert(answer: AlphaAnswer, objective: str, scale: ActivationScale | None) -> AlphaAnswer:
    """The same alpha in another convention's units.

    Args:
        answer: In canonical units.
        objective: The convention's name, for example saelens.
        scale: Norms of the raw activations; None where the convention needs none.

    Raises:
        AnalysisError: The answer is not in canonical units, the convention does not exist, or it
            needs norms that are not given.
    """
    if answer.units != "canonical":
        raise AnalysisError(
            f"units must be canonical to convert alpha to {objective}, but got {answer.units}."
        )
    factor = canonical_factor(objective, scale, answer.latent_dim)
    assumed = assumption(objective)
    return AlphaAnswer(
        latent_dim=answer.latent_dim,
        target_count=answer.target_count,
        alpha=answer.alpha * factor,
        low=None if answer.low is None else answer.low * factor,
        high=None if answer.high is None else answer.high * factor,
        units=objective,
        basis=answer.basis,
        status=answer.status,
        recipe=answer.recipe,
        notes=answer.notes if assumed is None else (*answer.notes, assumed),
    )


def read_scale(activations: Path) -> ActivationScale:
    """The norms in the manifest of a folder of activations.

    Raises:
        AnalysisError: There is no manifest.json, or it lacks a norm.
    """
    path = activations / "manifest.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return ActivationScale(
            d_in=int(content["d_in"]),
            centred_rms_norm=float(content["centred_rms_norm"]),
            raw_mean_norm=float(content["raw_mean_norm"]),
            raw_rms_norm=float(content["raw_rms_norm"]),
        )
    except OSError as error:
        raise AnalysisError(f"activations must hold a manifest.json, but: {error}.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise AnalysisError(f"{path} must hold d_in and three norms, but: {error!r}.") from None


def _is_law(source: Source) -> bool:
    """Whether a file is a law, not a trial record; a folder never is."""
    path = Path(source)
    return path.suffix == ".json" and path.name != "result.json" and path.is_file()


def _from_width(fit: Refit, width: WidthResult) -> AlphaAnswer:
    if width.point is None or width.target_count is None:
        raise AnalysisError(_refusal(fit, width, width.latent_dim))
    star = width.alpha_star
    reason = () if width.reason is None else (width.reason,)
    return AlphaAnswer(
        latent_dim=width.latent_dim,
        target_count=width.target_count,
        alpha=width.point,
        low=None if star is None else star.low,
        high=None if star is None else star.high,
        units=fit.units.value,
        basis=f"{width.n} runs of this width",
        status=fit.status.value,
        recipe=fit.recipe.to_json(),
        notes=(*reason, *width.notes, *fit.notes),
    )


def _from_law(law: Law, latent_dim: int, target_l0: float, basis: str) -> AlphaAnswer:
    mean, sd = law.alpha_for(latent_dim, target_l0)
    widths = [shape.latent_dim for shape in law.shapes]
    outside = not min(widths) <= latent_dim <= max(widths)
    where = "extrapolated from" if outside else "between"
    listed = f"widths {min(widths)} to {max(widths)}"
    if len(widths) == 1:
        listed = f"the single width {widths[0]}, with theory's exponent"
    return AlphaAnswer(
        latent_dim=latent_dim,
        target_count=target_count(target_l0, latent_dim),
        alpha=math.exp(mean),
        low=math.exp(mean - _Z_95 * sd),
        high=math.exp(mean + _Z_95 * sd),
        units=law.units.value,
        basis=f"{basis}, {where} {listed}",
        status=law.status.value,
        recipe=law.recipe,
        notes=tuple(f"a law still needs: {each}" for each in law.missing),
    )


def _refusal(fit: Refit, width: WidthResult | None, latent_dim: int) -> str:
    """Why no alpha may be named, and the run that would help most."""
    reason = f"no run has this width and {fit.exponent_reason}"
    suggestions = fit.suggestions
    if width is not None:
        reason = width.reason or "the target is not bracketed"
        suggestions = width.suggestions or suggestions
    text = f"no alpha may be named for latent_dim {latent_dim}: {reason}"
    if not suggestions:
        return f"{text}."
    first = suggestions[0]
    at = "" if first.l1_alpha is None else f" at alpha {first.l1_alpha:.3g}"
    return f"{text}; run width {first.latent_dim}{at} ({first.why})."
