"""Where activations are kept between runs."""

import os
from pathlib import Path

CACHE_VARIABLE = "SAE_SWEEP_CACHE"


def cache_folder(configured: str | None) -> Path:
    """The configured folder, else $SAE_SWEEP_CACHE, else the user's cache directory (XDG)."""
    if folder := configured or os.environ.get(CACHE_VARIABLE):
        return Path(folder).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "sae-sweep"
