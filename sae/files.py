"""Files that are either wholly there or not there at all."""

import errno
import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` in one step, so that a reader or a crash never sees a half file.

    Args:
        path: The file to write; its directory must exist.
        data: The whole content.

    Raises:
        OSError: `path` is a directory, its directory cannot be written, or the disk is full;
            `path` is then unchanged.
    """
    if path.is_dir():  # such as ".", which has no name to make a passing one of
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        _discard(temporary)
        # The name that the caller knows, not the passing one.
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        _discard(temporary)
        raise


def _discard(temporary: Path) -> None:
    with suppress(OSError):  # on a disk that cannot be written it never came to be
        temporary.unlink()


def write_json_atomically(path: Path, content: Mapping[str, Any]) -> None:
    """Writes `content` as indented JSON; NaN is refused, since JSON has none.

    Raises:
        ValueError: `content` holds NaN or infinity.
        OSError: As `write_atomically`.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, text.encode())
