"""Where the Optuna studies live: a journal file in the study's folder, or a database by URL."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy

from analysis.sources import JOURNAL_FILE
from sweeper.concealment import STORAGE_KEY
from sweeper.errors import SweepError
from sweeper.journal import open_journal


def open_storage(url: str | None, folder: Path, key: str = STORAGE_KEY) -> BaseStorage:
    """Opens the storage of a study.

    Args:
        url: A database (`sqlite:///...`, `postgresql://...`, `mysql://...`) or an Optuna gRPC
            proxy (`grpc://host:port`); None for the journal.
        folder: The study's folder, where the journal lives.
        key: What gave the URL, for messages.

    Raises:
        SweepError: Nothing answers at the URL for `patience.PATIENCE` seconds, or what is there
            cannot be read, or is of another version of Optuna; a password is not shown.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is None:
        return open_journal(folder / JOURNAL_FILE)
    from sweeper.database import open_database  # loads SQLAlchemy, which a journal needs not

    return open_database(url, key)


@contextmanager
def storage_for(url: str | None, folder: Path) -> Generator[BaseStorage]:
    """Opens the storage for the block; see `open_storage`."""
    storage = open_storage(url, folder)
    try:
        yield storage
    finally:
        if isinstance(storage, optuna.storages.RDBStorage):
            storage.remove_session()
            storage.engine.dispose()
        elif isinstance(storage, GrpcStorageProxy):
            storage.close()


def shown(url: str | None) -> str | None:
    """A storage's URL without its password; None for the journal."""
    if url is None:
        return None
    from sweeper.database import redacted  # loads SQLAlchemy

    return redacted(url)


def storage_lost(error: Exception, url: str | None) -> SweepError:
    """The line for a storage that went away in the middle of a study and did not come back."""
    where = shown(url) or "the journal"
    kind = type(error.__cause__ or error).__name__
    return SweepError(
        f"sweep.storage must answer while the study runs, but {where} gave {kind}; "
        "the same command goes on."
    )
