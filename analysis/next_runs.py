"""What to run next, as the sweeper takes it: overrides and a command to paste."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from analysis.formatting import exact
from analysis.gate import Suggestion
from analysis.groups import Recipe, Value
from analysis.hydra_text import quoted
from analysis.records import Units
from analysis.selection import is_configuration_key

_KEYS = {
    "learning_rate": "trainer.learning_rate",
    "batch_size": "trainer.batch_size",
    "total_steps": "trainer.total_steps",
}
_NAMED_BY_COLUMNS = frozenset({"sae.architecture", *_KEYS.values()})
# A suggestion's alpha is canonical; an objective would have it read in units of its own.
_UNITS_OF_ALPHA = "objective."
_WORD = re.compile(r"[\w./:+%@-]+")
"""What Hydra reads as one value without quotes."""


def overrides(
    suggestion: Suggestion, *, target_l0: float, recipe: Recipe, units: Units
) -> list[str] | None:
    """The Hydra overrides of a sweep that starts with the suggested run.

    Of the activations only keys that the runs' columns name are among them, such as their layer: a
    recipe has the activations' name and not where they are.

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
    found += _configured(recipe)
    if suggestion.seed is not None:
        found.append(f"seed={suggestion.seed}")
    if suggestion.l1_alpha is not None:
        found.append(f"sweep.enqueue=[{suggestion.l1_alpha:.6g}]")
    return found


def _configured(recipe: Recipe) -> list[str]:
    """The keys of the configuration that divide the runs, with this group's values."""
    return [
        f"{key}={_hydra_value(value)}"
        for key, value in recipe.searched
        if is_configuration_key(key)
        and key not in _NAMED_BY_COLUMNS
        and not key.startswith(_UNITS_OF_ALPHA)
    ]


def _hydra_value(value: Value) -> str:
    if not isinstance(value, str):
        return exact(value)
    return value if _WORD.fullmatch(value) else quoted(value)


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
