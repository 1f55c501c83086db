"""Which cells are kin: their runs train with the same settings, but for width and budget.

Settings are plain tables, as `to_plain` gives them for a cell and as a study's definition holds
them; the definition has the data's fingerprint beside them.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sae.architectures.config import Architecture, JumpReluPenalty
from sweeper.settings import flatten, without

_TRAINED = ("activations", "sae", "trainer", "data")
"""What makes a run in canonical units."""
_WIDTH = ("sae.latent_dim",)
_BUDGET = ("trainer.learning_rate", "trainer.total_steps")
"""With the width all that the surface of alpha knows of."""


def are_kin(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two cells differ in width, target and budget only, so that one informs the other.

    Where the penalty is the distance from the target, they must have one target.
    """
    return _trained(one, apart=_WIDTH + _BUDGET) == _trained(other, apart=_WIDTH + _BUDGET)


def share_law(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two cells differ in width and target only, so that one law holds for both.

    Where the penalty is the distance from the target, they must have one target.
    """
    return _trained(one, apart=_WIDTH) == _trained(other, apart=_WIDTH)


def _trained(settings: Mapping[str, Any], apart: Collection[str]) -> dict[str, Any]:
    keys = (*_TRAINED, "target_l0") if _penalises_distance(settings["sae"]) else _TRAINED
    return without(flatten({key: settings.get(key) for key in keys}), apart)


def _penalises_distance(sae: Mapping[str, Any]) -> bool:
    """Whether the penalty is the distance from the target, so that alpha means little without."""
    is_jumprelu = sae["architecture"] == Architecture.jumprelu
    return is_jumprelu and sae["jumprelu"]["penalty"] == JumpReluPenalty.quadratic
