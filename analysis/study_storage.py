"""Trial records out of Optuna storages: a database by URL, or a journal file.

The one module of `analysis` that needs optuna, which it imports when it is first asked to read.
Every cell of a sweep is a study `<study_name>/<cell>`, and every told trial carries its record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from analysis.records import State
from analysis.sources import Source, redacted

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

# What the sweeper writes beside Optuna's own values; its tests hold both ends together.
_RECORD, _LINK, _NUMBER, _SEED = "record", "linked_from", "number", "seed"
_SECONDS_TO_ANSWER = 10
DAMAGED = (ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What Optuna raises of a journal's line that it did not write; json's own error is the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTrials:
    """What a storage holds of one sweep."""

    records: tuple[Mapping[str, Any], ...]
    """By trial number; a running trial has what is known of it."""
    problems: tuple[Mapping[str, str], ...]
    """`source` and `reason` of what is no trial of a sweep."""


def read_storage(source: Source, study_name: str | None = None) -> StoredTrials:
    """Reads the trials of one sweep; nothing is written or created.

    Args:
        source: `sqlite:///...`, `postgresql://...`, `mysql://...`, or the path of a journal file.
        study_name: The sweep; may be left out where the storage holds only one.

    Raises:
        AnalysisError: The storage does not answer (its password is not shown), or does not hold
            the sweep, or holds several and none is named.
    """
    try:
        import optuna
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise AnalysisError(f"{redacted(str(source))} needs optuna, but: {error}.") from None
    shown = redacted(str(source))
    try:
        storage = _open(str(source))
        names = _chosen(optuna.get_all_study_names(storage), study_name, shown)
        studies = {name: _trials_of(storage, name) for name in names}
    except AnalysisError:
        raise
    except (OptunaError, SQLAlchemyError, ImportError, OSError, RuntimeError, *DAMAGED) as error:
        cause = error.__cause__ if isinstance(error, OptunaError) else None
        reason = redacted(
            str(cause or error).strip().replace(str(source), shown).partition("\n")[0]
        )
        raise AnalysisError(
            f"source must be a storage that answers, but got {shown}: {reason.rstrip('.')}."
        ) from None
    return _collected(studies, shown)


def _open(source: str) -> "BaseStorage":
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in source:
        if not Path(source).is_file():
            raise AnalysisError(f"source must be an existing journal file, but got {source!r}.")
        return JournalStorage(JournalFileBackend(source))
    dialect, _, path = source.partition(":///")
    # Opened as it stands, a SQLite file that is not there would be made.
    if dialect.startswith("sqlite") and path and not Path(path.partition("?")[0]).is_file():
        raise AnalysisError(f"source must be an existing database, but got {source!r}.")
    arguments = {} if dialect.startswith("sqlite") else {"connect_timeout": _SECONDS_TO_ANSWER}
    return RDBStorage(source, engine_kwargs={"connect_args": arguments}, skip_table_creation=True)


def _chosen(names: list[str], study_name: str | None, shown: str) -> list[str]:
    sweeps = sorted({name.partition("/")[0] for name in names})
    listed = ", ".join(sweeps) or "none"
    if study_name is None and len(sweeps) == 1:
        study_name = sweeps[0]
    if study_name is None:
        raise AnalysisError(
            f"study_name must name one of the studies in {shown}, but got none of {listed}."
            if sweeps
            else f"source must hold at least one study, but {shown} has none."
        )
    if study_name not in sweeps:
        raise AnalysisError(
            f"study_name must be one of those in {shown} ({listed}), but got {study_name!r}."
        )
    return sorted(name for name in names if name.partition("/")[0] == study_name)


def _trials_of(storage: "BaseStorage", name: str) -> "list[FrozenTrial]":
    return storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)


def _collected(studies: "Mapping[str, list[FrozenTrial]]", shown: str) -> StoredTrials:
    records: list[Mapping[str, Any]] = []
    problems: list[dict[str, str]] = []
    for name, trials in studies.items():
        own = [trial for trial in trials if _LINK not in trial.user_attrs]
        known = [_record(trial, name.partition("/")[2]) for trial in own]
        records += [record for record in known if record is not None]
        foreign = known.count(None)
        if foreign:
            reason = f"{foreign} trials without a record"
            problems.append({"source": f"{shown}, study {name}", "reason": reason})
    records.sort(key=lambda record: (record.get("trial") is None, record.get("trial") or 0))
    return StoredTrials(records=tuple(records), problems=tuple(problems))


def _record(trial: "FrozenTrial", cell: str) -> Mapping[str, Any] | None:
    """A trial's record; what is known of one that was started and not told."""
    attributes = trial.user_attrs
    if _RECORD in attributes:
        return attributes[_RECORD]
    if trial.state.is_finished() or _NUMBER not in attributes:
        return None
    return {
        "trial": attributes[_NUMBER],
        "cell": cell,
        "state": State.running.value,
        "seed": attributes.get(_SEED),
        "l1_alpha": trial.params.get("l1_alpha"),
    }
