"""What to run next, as the sweeper takes it: overrides and a command to paste."""

import shlex
from collections.abc import Mapping
from typing import Any

from analysis.formatting import exact
from analysis.gate import Suggestion
from analysis.groups import Recipe
from analysis.records import Units

_KEYS = {
    "learning_rate": "trainer.learning_rate",
    "batch_size": "trainer.batch_size",
    "total_steps": "trainer.total_steps",
}


def overrides(
    suggestion: Suggestion, *, target_l0: float, recipe: Recipe, units: Units
) -> list[str] | None:
    """The Hydra overrides of a sweep that starts with the suggested run.

    Activations are not among them: a recipe has their name and not where they are.

    Returns:
        None where alpha is in a foreign file's own units, which no sweep knows.
    """
    if units is not Units.canonical:
        return None
    found = [f"sae.latent_dim={suggestion.latent_dim}", f"target_l0={exact(target_l0)}"]
    if recipe.architecture is not None:
        found.append(f"sae={recipe.architecture}")
    for name, key in _KEYS.items():
        value = getattr(recipe, name)
        if value is not None:
            longer = suggestion.longer if name == "total_steps" else 1
            found.append(f"{key}={exact(value * longer)}")
    found += recipe.unusual
    if suggestion.seed is not None:
        found.append(f"seed={suggestion.seed}")
    if suggestion.l1_alpha is not None:
        found.append(f"sweep.enqueue=[{suggestion.l1_alpha:.6g}]")
    return found


def command(found: list[str]) -> str:
    """The sweep with these overrides, quoted for a shell."""
    return shlex.join(["sae-sweep", "--multirun", *found])


def to_json(
    suggestion: Suggestion, *, target_l0: float, recipe: Recipe, units: Units
) -> Mapping[str, Any]:
    """A suggestion with its overrides and command, as plain values."""
    found = overrides(suggestion, target_l0=target_l0, recipe=recipe, units=units)
    run = None if found is None else command(found)
    return {**suggestion.to_json(), "overrides": found, "command": run}
