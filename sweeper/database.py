"""A study's database by URL: SQLite, PostgreSQL, MySQL or Optuna's gRPC proxy.

Loads SQLAlchemy, so that whoever may do with the journal imports this module when there is a URL.
"""

import shlex
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)

from sweeper import patience
from sweeper.errors import SweepError
from sweeper.patience import patiently

UNREADABLE = "a URL that cannot be read"
OTHER_TABLES, UPGRADE = "table schema", "optuna storage upgrade"
"""What Optuna says of tables of another version, and where it can move them to its own."""
GRPC = "grpc"
GRPC_PORT = 13000
DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
"""The drivers that the extras `postgres` and `mysql` bring."""
EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", GRPC: "grpc"}

TABLES_PATIENCE, TABLES_PAUSE = 10.0, 0.1
"""Seconds for which, and between which, it is tried again where others make the same tables."""
CONNECT_TIMEOUT = 10
"""Seconds for one attempt to reach a server."""
LOCK_TIMEOUT = 60
"""Seconds for which SQLite waits while another process writes."""
HERE = frozenset({"localhost", "127.0.0.1", "::1"})

T = TypeVar("T")


def open_database(url: str, key: str) -> BaseStorage:
    """Opens a database, or a proxy.

    Args:
        url: `sqlite:///...`, `postgresql://...`, `mysql://...` or `grpc://host:port`.
        key: What gave the URL, for messages.

    Raises:
        SweepError: Nothing answers for `patience.PATIENCE` seconds, or what is there cannot be
            read, or is of another version of Optuna; a password is not shown.
    """
    parsed = _parsed(url)
    if parsed is None:
        raise SweepError(
            f"{key} must be a URL such as postgresql://user:password@host:5432/database, "
            f"but got {UNREADABLE}."
        )
    try:
        return _opened(parsed, key)
    except ImportError as error:
        raise _refused(url, f"{error}; {_advice(url)}", key) from None
    except (SQLAlchemyError, ConnectionError, ValueError) as error:
        raise _refused(url, str(error).splitlines()[0], key) from None
    except RuntimeError as error:
        if OTHER_TABLES not in str(error):
            raise
        raise _of_another_optuna(parsed, str(error), key) from None


def _refused(url: str, reason: str, key: str) -> SweepError:
    for secret in (url, _password(url)):
        reason = reason.replace(secret, "***") if secret else reason
    return SweepError(f"{key} must be a database that answers, but got {redacted(url)}: {reason}.")


def _of_another_optuna(url: URL, reason: str, key: str) -> SweepError:
    if UPGRADE in reason:
        version, advice = "an older version", f"{upgrade_command(url)} brings them up to date"
    else:
        version, advice = "a newer version", "pip install -U optuna brings one that reads them"
    return SweepError(
        f"{key} must have the tables of Optuna {optuna.__version__}, "
        f"but got {redacted(_text(url))} with those of {version}; {advice}."
    )


def upgrade_command(url: URL) -> str:
    """What moves a database to the tables of this Optuna; a password is to be filled in."""
    return f"{UPGRADE} --storage {shlex.quote(redacted(_text(_with_driver(url))))}"


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _with_driver(url: URL) -> URL:
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _password(url: str) -> str:
    parsed = _parsed(url)
    return "" if parsed is None else parsed.password or ""


def _parsed(url: str) -> URL | None:
    """None for what is no URL, and for an @ of a password that stands in the host."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None
    return None if "@" in (parsed.host or "") else parsed


def _advice(url: str) -> str:
    extra = EXTRAS.get(url.split("://")[0])
    return f"pip install 'sae-sweep[{extra}]'" if extra else "is its driver installed?"


def _opened(url: URL, key: str) -> BaseStorage:
    kind = url.get_backend_name() if url.drivername != GRPC else GRPC
    if kind == GRPC:
        return _grpc(url)
    settings: dict[str, Any] = {"pool_pre_ping": True}
    if kind == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise SweepError(
                f"{key} must be a file, which every process can open, but got SQLite's "
                "database in memory."
            )
        settings["connect_args"] = {"timeout": LOCK_TIMEOUT}
    elif url.drivername in DRIVERS:
        settings["connect_args"] = {"connect_timeout": CONNECT_TIMEOUT}
    text = _text(_with_driver(url))

    @_beside_others
    def connect() -> BaseStorage:
        return optuna.storages.RDBStorage(text, engine_kwargs=settings)

    return connect() if kind == "sqlite" else patiently(connect)()


def _beside_others(connect: Callable[[], T]) -> Callable[[], T]:
    """Connects again where another command makes the same tables at the same moment."""

    def connected() -> T:
        deadline = time.monotonic() + TABLES_PATIENCE
        while True:
            try:
                return connect()
            except (SQLAlchemyError, StorageInternalError) as error:
                if not _says_that_it_is_there(error) or time.monotonic() > deadline:
                    raise
                time.sleep(TABLES_PAUSE)

    return connected


def _says_that_it_is_there(error: Exception) -> bool:
    """Each database has its own words for a table, or a row, that another was quicker to make."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, IntegrityError | ProgrammingError) or "already exists" in str(cause)


def _grpc(url: URL) -> BaseStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=url.host or "localhost", port=url.port or GRPC_PORT)
    proxy.wait_server_ready(timeout=patience.PATIENCE)
    return proxy


def redacted(url: str) -> str:
    """The URL as it may be shown: its password as `***`, and so every value after a `?`."""
    parsed = _parsed(url)
    if parsed is None:
        return UNREADABLE
    shown = {name: value if name == "host" else "***" for name, value in parsed.query.items()}
    return parsed.set(query=shown).render_as_string(hide_password=True)


def is_of_this_machine(storage: str) -> bool:
    """Whether a storage's URL leads to this machine from this machine only."""
    url = make_url(storage)
    if url.drivername.startswith("sqlite"):
        return True
    asked = url.query.get("host", url.host)
    host = asked if isinstance(asked, str) else None
    return host is None or host in HERE or host.startswith("/")
