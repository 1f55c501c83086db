"""Whether a folder already holds what somebody is about to write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae.activations.manifest import MANIFEST, read_manifest
from sae.errors import SaeError


def has_recipe(folder: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether `folder` is there and was written by the same recipe.

    Raises:
        SaeError: It holds something else, which is not overwritten.
    """
    if not folder.exists():
        return False
    if not (folder / MANIFEST).is_file():
        raise SaeError(f"output folder {folder} must be new, but holds other files.")
    found = read_manifest(folder).description.get("recipe")
    if not isinstance(found, dict):
        raise SaeError(f"output folder {folder} must be new, but holds other activations.")
    for key, value in recipe.items():
        if found.get(key) != value:
            raise SaeError(
                f"output folder {folder} must be new or of the same recipe, "
                f"but has {key} {found.get(key)!r} where {value!r} is asked."
            )
    return True
