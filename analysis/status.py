"""Where a study stands, read from its trial directories while it runs.

Files are only read, and each is written in one step or appended line by line, so this may run
beside a sweep, from another terminal or machine.
"""

import csv
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from analysis.errors import AnalysisError
from analysis.records import WHOLE_LIMIT, State
from analysis.sources import DEFINITION_FILE

BEAT_WITHIN_S = 120.0
"""A running job touches its lease every second (`sweeper.execution.lease`). Assumption: no file
server shows that later than this."""
T = TypeVar("T")

NAMED = 8
"""Studies that the line for a folder above them names."""
NUMBERS_IN_HISTORY = ("step", "alpha", "l0", "fvu", "loss", "dead_fraction_window")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialStatus:
    """One trial directory; None for what its files do not say."""

    name: str
    """The directory."""
    state: str
    """A state of `analysis.records.State`, or "starting" before the first line of history, while
    a job or a command is there to write it.

    "interrupted" is what no job is at any more: the sweep goes on with it, or will when it is
    started again.
    """
    latent_dim: int | None
    """Width of the SAE."""
    alpha_canonical: float | None
    """Alpha, of an unfinished trial at its last logged step."""
    l0: float | None
    """Mean active latents, of an unfinished trial on its last logged batch."""
    fvu: float | None
    """Fraction of variance unexplained."""
    step: int | None
    """Steps done."""
    total_steps: int | None
    """Steps planned."""
    in_band: bool | None
    """Whether a finished trial landed."""
    verdict: str | None
    """Of a finished trial."""
    silent_s: float | None
    """Seconds since an unfinished trial wrote its last line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """All trials of a study."""

    study: str
    """The study's folder."""
    trials: tuple[TrialStatus, ...]
    """By directory name."""

    def counts(self) -> dict[str, int]:
        """Trials by state."""
        counted = Counter(trial.state for trial in self.trials)
        ordered = [*State, "starting"]
        return {str(state): counted[state] for state in ordered if counted[state]}

    def answer(self) -> str:
        """The status in one line."""
        states = ", ".join(f"{count} {state}" for state, count in self.counts().items())
        landed = sum(trial.in_band is True for trial in self.trials)
        name = Path(self.study).resolve().name
        return f"{name}: {len(self.trials)} trials ({states or 'none yet'}), {landed} in band."


def read_status(study: Path, now: Callable[[], float] = time.time) -> StudyStatus:
    """Reads the status of a study's folder.

    Raises:
        AnalysisError: `study` is not a folder, or not a study's.
    """
    if not study.is_dir():
        raise AnalysisError(f"study must be an existing folder, but got '{study}'.")
    directories = sorted(path for path in study.glob("trial_*") if path.is_dir())
    if not directories and not (study / DEFINITION_FILE).exists():
        raise AnalysisError(
            f"study must be a study's folder, but '{study}' has neither {DEFINITION_FILE} nor "
            f"trials{_studies_below(study)}."
        )
    is_run = any(_has_lease(command, now()) for command in study.glob("commands/*"))
    trials = tuple(_read_trial(directory, now(), is_run=is_run) for directory in directories)
    return StudyStatus(study=str(study), trials=trials)


def _studies_below(folder: Path) -> str:
    """What may have been meant: a sweep's folder holds its studies, and stands where it began."""
    found = [path for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{DEFINITION_FILE}")]
    names = sorted(str(path.parent) for path in found)
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; the studies in it are {', '.join(names[:NAMED])}{more}"


def _read_trial(directory: Path, now: float, *, is_run: bool) -> TrialStatus:
    # A job lets go of its lease after it has written the result, so the lease is looked at first.
    has_job = _has_lease(directory, now)
    record = _read_result(directory / "result.json")
    if record is not None:
        return TrialStatus(
            name=directory.name,
            state=str(record.get("state")),
            latent_dim=_whole(record, "latent_dim"),
            alpha_canonical=_number(record, "alpha_canonical"),
            l0=_number(record, "l0"),
            fvu=_number(record, "fvu"),
            step=_whole(record, "steps_done"),
            total_steps=_whole(record, "total_steps"),
            in_band=_told(record, "in_band", bool),
            verdict=_told(record, "verdict", str),
            silent_s=None,
        )
    history = directory / "history.csv"
    row, config = _last_row(history), _read_config(directory / ".hydra" / "config.yaml")
    step = row.get("step")
    return TrialStatus(
        name=directory.name,
        state=_unfinished_state(has_job=has_job, has_history=bool(row), is_run=is_run),
        latent_dim=_at(config, "sae", "latent_dim"),
        alpha_canonical=row.get("alpha"),
        l0=row.get("l0"),
        fvu=row.get("fvu"),
        step=None if step is None else int(step),
        total_steps=_at(config, "trainer", "total_steps"),
        in_band=None,
        verdict=None,
        silent_s=max(0.0, now - history.stat().st_mtime) if row else None,
    )


def _has_lease(directory: Path, now: float) -> bool:
    """Whether a job, or a command, holds its directory, or had it and died a moment ago."""
    beats: list[float] = []
    for lease in directory.glob("lease_*.json"):
        with suppress(FileNotFoundError):  # let go of meanwhile
            beats.append(lease.stat().st_mtime)
    return any(now - beat <= BEAT_WITHIN_S for beat in beats)


def _unfinished_state(*, has_job: bool, has_history: bool, is_run: bool) -> str:
    if has_history:
        return State.running if has_job else State.interrupted
    # A queued job, or one between two attempts, has no lease; its study's command has.
    return "starting" if has_job or is_run else State.interrupted


def _read_result(path: Path) -> dict[str, Any] | None:
    """The record, or None where there is none yet or it is no JSON object."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _told(record: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    """A value of the record, or None where it is of another kind, as in a file that was edited."""
    value = record.get(key)
    return value if type(value) is kind else None


def _whole(record: Mapping[str, Any], key: str) -> int | None:
    value = _told(record, key, int)
    return None if value is None or abs(value) >= WHOLE_LIMIT else value


def _number(record: Mapping[str, Any], key: str) -> float | None:
    value = _told(record, key, float)
    return _whole(record, key) if value is None else value  # JSON may leave out the .0


def _last_row(path: Path) -> dict[str, float]:
    """The last whole line of a history, its finite numbers; empty where there is none.

    The last line may be half written: a line counts only with its line feed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
    if not rows:
        return {}
    numbers: dict[str, float] = {}
    for key in NUMBERS_IN_HISTORY:
        try:
            value = float(rows[-1][key])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(value):
            numbers[key] = value
    return numbers


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _at(config: Mapping[str, Any], group: str, key: str) -> int | None:
    section = config.get(group)
    value = section.get(key) if isinstance(section, Mapping) else None
    return value if isinstance(value, int) else None
