"""Doing something again whenever a study has something new."""

import time
from collections.abc import Callable
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.sources import Source, is_url

_LONGEST_WAIT_S = 7 * 86400.0

Signature = tuple[tuple[str, int, int], ...]


def signature(source: Source) -> Signature:
    """Names, times and sizes of a source's records: another value means that it changed."""
    if is_url(source):  # nothing to look at but the trials themselves
        return ((str(source), time.time_ns(), 0),)
    path = Path(source)
    paths = path.glob("trial_*/result.json") if path.is_dir() else [path]
    found: list[tuple[str, int, int]] = []
    for path in sorted(paths):
        try:
            facts = path.stat()
        except FileNotFoundError:  # replaced or removed just now
            continue
        found.append((str(path), facts.st_mtime_ns, facts.st_size))
    return tuple(found)


def watch(
    source: Source,
    make: Callable[[], None],
    complain: Callable[[str], None],
    *,
    every_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Calls `make` now and after every change of the source, until interrupted.

    Args:
        source: A study's folder or a table; a storage's URL counts as changed at every look.
        make: What to do. Its `AnalysisError` (no usable trial yet, for example) ends nothing.
        complain: Called with the error's line.
        every_s: Seconds between looks.
        sleep: Waits; raises KeyboardInterrupt to end.

    Raises:
        AnalysisError: `every_s` is no time to wait.
    """
    if not 0 < every_s <= _LONGEST_WAIT_S:
        raise AnalysisError(
            f"watch must be above 0 and at most {_LONGEST_WAIT_S:.0f} seconds, "
            f"but got {every_s!r}."
        )
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
