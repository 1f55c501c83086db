"""For which sources the machine code is right that is kept between processes.

numba keeps a function's machine code for as long as the function's own file is the same. But what
it calls is compiled into it: where another of these modules had changed, by an upgrade or a pull,
the code of before would go on running. So all modules' hash is part of every function's name.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

KERNELS = Path(__file__).parent
DIGITS = 12


def hash_of(folder: Path) -> str:
    """Some digits of the hash of all modules in a folder."""
    sources = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        sources.update(f"{path.name} {path.stat().st_size} ".encode())
        sources.update(path.read_bytes())
    return sources.hexdigest()[:DIGITS]


SOURCES = hash_of(KERNELS)


def name_by_sources(function: Callable[..., Any]) -> None:
    """Puts the hash into the name by which numba keeps a function's machine code."""
    suffix = f"_{SOURCES}"
    function.__qualname__ = function.__qualname__.removesuffix(suffix) + suffix


def forget_other_sources(kept: Path) -> None:
    """Removes machine code of other sources from a folder; what cannot be removed does no harm."""
    for path in kept.glob("*.nb[ic]"):
        if SOURCES not in path.name:
            with suppress(OSError):
                path.unlink()
