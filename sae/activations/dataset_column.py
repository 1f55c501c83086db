"""Activations in a column of a Hugging Face dataset."""

import importlib.util
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae.activations.row_source import Piece, RowSource, stretches
from sae.errors import SaeError
from sae.nearest import did_you_mean


def dataset_source(path: str, column: str, split: str = "train") -> RowSource:
    """A column of vectors [d_in], or of matrices [positions, d_in] with one for each document.

    Args:
        path: What `Dataset.save_to_disk` wrote, or a dataset's name on the hub.
        column: The column that holds the activations.
        split: Which split, where the dataset has several.

    Raises:
        SaeError: The datasets package is missing, or dataset, split or column are.
    """
    table = _open(path, split)
    if column not in table.column_names:
        advice = did_you_mean(column, table.column_names)
        raise SaeError(
            f"activations.column must be one of {', '.join(table.column_names)} of dataset "
            f"{path}, but got {column!r}{advice}"
        )
    if len(table) == 0:
        raise SaeError(f"dataset {path} must hold at least one row, but got none.")
    table = table.select_columns([column]).with_format("numpy")
    origin = f"column {column} of dataset {path}"
    first = _floats(table, column, origin, 0, 1)
    if first.ndim == 2:
        spans = list(stretches(len(table)))
    elif first.ndim == 3:
        spans = [(number, number + 1) for number in range(len(table))]
    else:
        kind = "numbers" if first.ndim == 1 else f"arrays of {first.ndim - 1} dimensions"
        raise SaeError(f"{origin} must hold vectors or matrices, but got {kind}.")
    pieces = tuple(
        Piece(
            origin=origin,
            first_row=start,
            read=partial(_rows, table, column, origin, *span),
            is_stretch=first.ndim == 2,
        )
        for span in spans
        for start in span[:1]
    )
    return RowSource(
        name=f"{Path(path).name} {column}",
        d_in=first.shape[-1],
        pieces=pieces,
        identity={"dataset": path, "split": split, "column": column, "data": table._fingerprint},
    )


def _open(path: str, split: str) -> Any:
    if importlib.util.find_spec("datasets") is None:
        raise SaeError(
            "datasets must be installed to read a Hugging Face dataset, but is not: "
            "pip install 'sae-sweep[lm]'."
        )
    import datasets

    try:
        with _quiet(datasets):
            if Path(path).is_dir():
                loaded = datasets.load_from_disk(path)
            else:
                loaded = datasets.load_dataset(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SaeError(f"dataset {path} must be loadable, but got: {reason}") from error
    if not isinstance(loaded, datasets.DatasetDict):
        return loaded
    known = [str(name) for name in loaded]
    if split not in known:
        raise SaeError(
            f"activations.split must be one of {', '.join(known)} of dataset {path}, "
            f"but got {split!r}{did_you_mean(split, known)}"
        )
    return loaded[split]


@contextmanager
def _quiet(datasets: Any) -> Generator[None]:
    """No progress bars: an import has its own."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _floats(table: Any, column: str, origin: str, start: int, stop: int) -> Any:
    """Array of floats: examples `start` to `stop` of the column."""
    try:
        array = np.asarray(table[start:stop][column])
    except ValueError as error:  # vectors of several widths
        raise SaeError(
            f"{origin} must hold vectors of one width, but rows {start} to {stop - 1} do not."
        ) from error
    if array.dtype.kind != "f":
        kind = "several widths" if array.dtype.kind == "O" else str(array.dtype)
        kind = kind if array.size else "none"
        raise SaeError(
            f"{origin} must hold floats of one width, but rows {start} to {stop - 1} have {kind}."
        )
    return array


def _rows(table: Any, column: str, origin: str, start: int, stop: int) -> Tensor:
    array = _floats(table, column, origin, start, stop)
    return torch.from_numpy(array.reshape(-1, array.shape[-1]).copy())
