"""Asking again where a storage is away for the moment."""

import functools
import sys
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from optuna.exceptions import StorageInternalError

from sweeper.messages import say

PATIENCE = 30.0
"""Seconds for which a storage that does not answer is asked again."""
PAUSE = 1.0
"""Seconds between two attempts."""

P = ParamSpec("P")
T = TypeVar("T")


def patiently(function: Callable[P, T]) -> Callable[P, T]:
    """Asks a storage again while it does not answer, for `PATIENCE` seconds.

    Args:
        function: Talks to the storage, and may be called again where it failed half way.
    """

    @functools.wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        deadline: float | None = None
        while True:
            try:
                return function(*args, **kwargs)
            except no_answer():
                now = time.monotonic()
                if deadline is None:
                    say("the storage does not answer; asking again.")
                    deadline = now + PATIENCE
                if now > deadline:
                    raise
                time.sleep(PAUSE)

    return asked


def no_answer() -> tuple[type[Exception], ...]:
    """What a storage raises that is away for the moment."""
    # A journal loads neither library, and where one is not loaded none of its errors is raised.
    errors: list[type[Exception]] = [StorageInternalError]
    if (sqlalchemy := sys.modules.get("sqlalchemy.exc")) is not None:
        errors.append(sqlalchemy.OperationalError)
    if (grpc := sys.modules.get("grpc")) is not None:
        errors.append(grpc.RpcError)
    return tuple(errors)
