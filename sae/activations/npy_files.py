"""Activations in NumPy's .npy files, memory-mapped; files that hold pickles are refused."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae.activations.row_source import Piece, RowSource, stretches
from sae.errors import SaeError

FLOAT_TYPES = ("float16", "float32", "float64")


def npy_source(path: Path) -> RowSource:
    """One .npy file, or a folder of them in the order of their names.

    A file holds [rows, d_in], or [documents, positions, d_in].

    Raises:
        SaeError: There is none, a file is not an array of floats, or two differ in width.
    """
    files = _files(path)
    arrays = {file: _open(file) for file in files}
    widths = {file: array.shape[-1] for file, array in arrays.items()}
    for file, width in widths.items():
        if width != widths[files[0]]:
            raise SaeError(
                f"{file} must hold rows of width {widths[files[0]]} as {files[0].name} does, "
                f"but got {width}."
            )
    pieces = tuple(piece for file in files for piece in _pieces(file, arrays[file]))
    if not pieces:
        raise SaeError(f"{path} must hold at least one row, but got none.")
    stamps = [[str(file.resolve()), *_stamp(file)] for file in files]
    return RowSource(
        name=path.name, d_in=widths[files[0]], pieces=pieces, identity={"npy": stamps}
    )


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files:
        raise SaeError(f"folder {path} must hold .npy files, but got none.")
    for file in files:
        if file.suffix != ".npy":
            raise SaeError(
                f"{file} must be a .npy file or a folder of them (pickles, as in .pt and .pkl, "
                f"are never read), but got {file.suffix or 'no suffix'}."
            )
    return files


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _open(file: Path) -> Any:
    try:
        # Copy on write: nothing is ever written, but torch wants arrays that could be.
        array = np.lib.format.open_memmap(file, mode="c")
    except OSError as error:
        reason = error.strerror or str(error)
        raise SaeError(f"{file} must be readable, but got: {reason}.") from error
    except ValueError as error:
        # Also what NumPy says of an array of Python objects, which is a pickle.
        raise SaeError(
            f"{file} must be a whole .npy file of numbers (pickles are never read), "
            f"but got: {error}"
        ) from error
    if array.ndim not in (2, 3) or array.dtype.name not in FLOAT_TYPES:
        raise SaeError(
            f"{file} must hold floats [rows, d_in] or [documents, positions, d_in], "
            f"but got {array.dtype} {list(array.shape)}."
        )
    return array


def _pieces(file: Path, array: Any) -> list[Piece]:
    if array.size == 0:
        return []
    if array.ndim == 3:
        positions = array.shape[1]
        return [
            Piece(origin=str(file), first_row=number * positions, read=partial(_rows, document))
            for number, document in enumerate(array)
        ]
    return [
        Piece(
            origin=str(file),
            first_row=start,
            read=partial(_rows, array[start:stop]),
            is_stretch=True,
        )
        for start, stop in stretches(len(array))
    ]


def _rows(array: Any) -> Tensor:
    # torch knows this machine's order of bytes alone.
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
