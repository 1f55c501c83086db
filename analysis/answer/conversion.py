"""An answer's alpha in another convention's units."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.answer.alpha_answer import AlphaAnswer
from analysis.errors import AnalysisError
from analysis.units import ActivationScale, assumption, canonical_factor, needs_norms


@dataclass(frozen=True, kw_only=True, slots=True)
class Activations:
    """The data that alpha is wanted for, as far as conversions need it."""

    name: str | None
    """As a recipe has it; None where the manifest does not say."""
    scale: ActivationScale
    """Norms of the raw activations."""


def convert(
    answer: AlphaAnswer, objective: str, activations: Activations | None = None
) -> AlphaAnswer:
    """The same alpha in another convention's units.

    Args:
        answer: In canonical units.
        objective: The convention's name, for example saelens.
        activations: The data whose norms the convention needs; None where it needs none.

    Raises:
        AnalysisError: The answer is not in canonical units, the convention does not exist, it
            needs norms that are not given or are other data's, or has no equivalent of the
            penalty's alpha.
    """
    if answer.units != "canonical":
        raise AnalysisError(
            f"units must be canonical to convert alpha to {objective}, but got {answer.units}."
        )
    if activations is None and needs_norms(objective):
        raise AnalysisError(
            f"activations must name the folder of the data for {objective} units, whose norms "
            "they need (--activations), but got none."
        )
    notes = [] if activations is None else _other_data(answer.recipe, activations)
    penalty = answer.recipe.get("penalty")
    if penalty is None:
        notes.append("The penalty is not recorded; alpha is converted as an L1's.")
    assumed = assumption(objective)
    factor = canonical_factor(
        objective,
        None if activations is None else activations.scale,
        answer.latent_dim,
        penalty=penalty or "l1",
    )
    return replace(
        answer,
        alpha=answer.alpha * factor,
        low=None if answer.low is None else answer.low * factor,
        high=None if answer.high is None else answer.high * factor,
        units=objective,
        notes=(*answer.notes, *notes, *([] if assumed is None else [assumed])),
    )


def _other_data(recipe: Mapping[str, Any], activations: Activations) -> list[str]:
    """What is to be said where the norms may not be those of the runs' data.

    Raises:
        AnalysisError: They cannot be: the dimension is another.
    """
    d_in, name = recipe.get("d_in"), recipe.get("activations")
    if d_in is not None and activations.scale.d_in != d_in:
        raise AnalysisError(
            f"activations must have the d_in of the runs, {d_in}, but got "
            f"{activations.scale.d_in}."
        )
    if None not in (name, activations.name) and name != activations.name:
        return [f"Converted by the norms of {activations.name}; the runs are on {name}."]
    return []


def read_activations(folder: Path) -> Activations:
    """The norms and the name in the manifest of a folder of activations.

    Raises:
        AnalysisError: There is no manifest.json, or it lacks a norm.
    """
    path = folder / "manifest.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Activations(
            name=content.get("name"),
            scale=ActivationScale(
                d_in=int(content["d_in"]),
                centred_rms_norm=float(content["centred_rms_norm"]),
                raw_mean_norm=float(content["raw_mean_norm"]),
                raw_rms_norm=float(content["raw_rms_norm"]),
            ),
        )
    except OSError as error:
        raise AnalysisError(f"activations must hold a manifest.json, but: {error}.") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnalysisError(f"{path} must hold d_in and three norms, but: {error!r}.") from None
