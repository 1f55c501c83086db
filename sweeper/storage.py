"""Where the Optuna studies live: a journal file in the study's folder, or a database by URL."""

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sweeper.errors import SweepError

JOURNAL_FILE = "study.journal"


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """Opens the storage of a study.

    Args:
        url: A database (`sqlite:///...`, `postgresql://...`, `mysql://...`); None for the journal.
        folder: The study's folder, where the journal lives.

    Raises:
        SweepError: No database answers at the URL; its password is not shown.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL_FILE)))
    try:
        return optuna.storages.RDBStorage(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0].replace(url, redacted(url))
        raise SweepError(
            f"sweep.storage must be a database that answers, but got {redacted(url)}: {reason}."
        ) from None


def redacted(url: str) -> str:
    """The URL as it may be shown: its password as `***`."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "a URL that cannot be read"
