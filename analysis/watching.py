"""Doing something again whenever a study has something new."""

import time
from collections.abc import Callable
from pathlib import Path

from analysis.errors import AnalysisError

Signature = tuple[tuple[str, int, int], ...]


def signature(source: Path) -> Signature:
    """Names, times and sizes of a source's records: another value means that it changed."""
    paths = source.glob("trial_*/result.json") if source.is_dir() else [source]
    found: list[tuple[str, int, int]] = []
    for path in sorted(paths):
        try:
            facts = path.stat()
        except FileNotFoundError:  # replaced or removed just now
            continue
        found.append((str(path), facts.st_mtime_ns, facts.st_size))
    return tuple(found)


def watch(
    source: Path,
    make: Callable[[], None],
    complain: Callable[[str], None],
    *,
    every_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Calls `make` now and after every change of the source, until interrupted.

    Args:
        source: A study's folder or a table.
        make: What to do. Its `AnalysisError` (no usable trial yet, for example) ends nothing.
        complain: Called with the error's line.
        every_s: Seconds between looks.
        sleep: Waits; raises KeyboardInterrupt to end.
    """
    seen: Signature | None = None
    try:
        while True:
            now = signature(source)
            if now != seen:
                try:
                    make()
                except AnalysisError as error:
                    complain(str(error))
            seen = now
            sleep(every_s)
    except KeyboardInterrupt:
        return
