"""Copying activations from elsewhere into a folder of shards with a manifest.

Shapes: N rows of a piece, D = d_in.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.activations.manifest import VERSION, Split, StorageType
from sae.activations.outliers import SAMPLED_ROWS, is_outlier, norm_limit
from sae.activations.recipe import has_recipe
from sae.activations.row_source import Piece, RowSource
from sae.activations.rows import first_non_finite_row
from sae.activations.writer import LayerWriter, exclusive_folder, published
from sae.errors import SaeError
from sae.number_rules import require_factor
from sae.seeding import generator

_log = logging.getLogger(__name__)

UNKNOWN_TOKEN = -1
"""Stands in `token_ids` where the source has activations only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportConfig:
    """How to store what is imported.

    Raises:
        SaeError: A field is out of its range.
    """

    held_out_tokens: int = 22_000
    """Rows held out, of documents of their own."""
    storage: StorageType = StorageType.float32
    """Number type on disk."""
    shard_tokens: int = 65_536
    """Rows of a shard."""
    outlier_norm: float | None = None
    """Leave out rows whose norm is above this many times the median; None keeps all. See
    `sae.activations.outliers`."""
    seed: int = 0
    """Which documents are held out."""

    def __post_init__(self) -> None:
        for key in ("held_out_tokens", "shard_tokens"):
            if getattr(self, key) < 1:
                raise SaeError(f"{key} must be positive, but got {getattr(self, key)}.")
        require_factor("outlier_norm", self.outlier_norm)


def import_rows(source: RowSource, config: ImportConfig, folder: Path, prefix: str = "") -> Path:
    """Writes `folder` from a source; one that holds the same already is left as it is.

    Args:
        source: The activations.
        config: What is held out, and how it is stored.
        folder: Appears whole or not at all.
        prefix: Where the keys of `config` are for the user, such as "activations.".

    Returns:
        `folder`.

    Raises:
        SaeError: A row is not finite or of another width, there are too few, the folder holds
            something else, or the disk is full.
    """
    recipe = import_recipe(source, config)
    with exclusive_folder(folder.parent):
        if not has_recipe(folder, recipe):
            with published(folder) as partial:
                _write(source, config, partial, recipe, prefix)
    return folder


def import_name(source: RowSource, config: ImportConfig) -> str:
    """What the imported rows are called: runs with and without outliers enter no common fit."""
    if config.outlier_norm is None:
        return source.name
    return f"{source.name}, outlier_norm={config.outlier_norm:g}"


def import_recipe(source: RowSource, config: ImportConfig) -> dict[str, Any]:
    """What decides an import; two folders with the same recipe hold the same."""
    return {
        "source": source.identity,
        "held_out_tokens": config.held_out_tokens,
        "dtype": str(config.storage),
        "outlier_norm": config.outlier_norm,
        "seed": config.seed,
    }


def cached_import(source: RowSource, config: ImportConfig, cache: Path) -> Path:
    """The source's folder in the cache, imported if it is not there.

    Raises:
        SaeError: As `import_rows`.
    """
    # A key that is not set is left out, so that folders of before it was known are found.
    recipe = {k: v for k, v in import_recipe(source, config).items() if v is not None}
    deciding = json.dumps([VERSION, recipe], sort_keys=True)
    key = hashlib.sha256(deciding.encode()).hexdigest()[:12]
    folder = cache / "activations" / f"import-{key}"
    return import_rows(source, config, folder, prefix="activations.")


def _write(
    source: RowSource, config: ImportConfig, folder: Path, recipe: dict[str, Any], prefix: str
) -> None:
    writer = LayerWriter(folder, source.d_in, config.storage, config.shard_tokens)
    sieve = _Sieve(limit=_norm_limit(source, config))
    held_out = _write_held_out(writer, source, config, sieve)
    if held_out is None:
        raise _nothing_left(source, config, prefix)
    source = replace(source, pieces=source.pieces + held_out.rest)
    training = [number for number in range(len(source.pieces)) if number not in held_out.pieces]
    if not training:
        raise _nothing_left(source, config, prefix)
    for number, rows_ND in _read(source, training, config.storage):
        _add(writer, Split.train, number, sieve.pass_on(rows_ND))
    writer.flush(Split.train)
    if held_out.unused:
        _log.warning(
            "%s: %s rows are in neither split: they belong to a document of which only the first "
            "rows were needed to hold out %s.",
            source.name,
            f"{held_out.unused:,}",
            f"{config.held_out_tokens:,}",
        )
    description = {
        "model_name": source.name,
        "hook_name": "imported",
        "layer": 0,
        "dataset_path": source.name,
        "train_documents": len(training),
        "held_out_documents": len(held_out.pieces),
        "tokens_in_neither_split": held_out.unused,
        "outlier_tokens_dropped": sieve.dropped,
        "outlier_norm_limit": sieve.limit,
        "recipe": recipe,
    }
    writer.finish(import_name(source, config), description)


@dataclass(kw_only=True, slots=True)
class _Sieve:
    """Leaves out the rows of too large a norm, and counts them."""

    limit: float | None
    """The largest norm that passes; None lets all pass."""
    dropped: int = 0
    """Rows left out so far."""

    def pass_on(self, rows_ND: Tensor) -> Tensor:
        """The rows that pass."""
        kept_ND = rows_ND[self._passes(rows_ND)]
        self.dropped += len(rows_ND) - len(kept_ND)
        return kept_ND

    def first_rows(self, rows_ND: Tensor, wanted: int) -> int:
        """How many of the first rows hold `wanted` that pass; all where there are too few."""
        passing = self._passes(rows_ND).nonzero()
        return len(rows_ND) if len(passing) < wanted else int(passing[wanted - 1]) + 1

    def _passes(self, rows_ND: Tensor) -> Tensor:
        if self.limit is None:
            return torch.ones(len(rows_ND), dtype=torch.bool)
        return ~is_outlier(_norms(rows_ND), self.limit)


def _norm_limit(source: RowSource, config: ImportConfig) -> float | None:
    """By the first pieces drawn: a sample of all, so that no second pass is needed."""
    if config.outlier_norm is None:
        return None
    norms: list[Tensor] = []
    count = 0
    for _, rows_ND in _read(source, _drawn(source, config), config.storage):
        norms.append(_norms(rows_ND))
        count += len(rows_ND)
        if count >= SAMPLED_ROWS:
            break
    return norm_limit(torch.cat(norms), config.outlier_norm)


def _norms(rows_ND: Tensor) -> Tensor:
    return rows_ND.float().norm(dim=1)  # squares of float16 end early


def _drawn(source: RowSource, config: ImportConfig) -> list[int]:
    """Numbers of the pieces, in the order in which they are held out."""
    draw = generator(config.seed, "activations/split")
    return torch.randperm(len(source.pieces), generator=draw).tolist()


@dataclass(frozen=True, kw_only=True, slots=True)
class _HeldOut:
    """What became of the pieces that rows were held out of."""

    pieces: frozenset[int]
    """Their numbers."""
    rest: tuple[Piece, ...]
    """What is left of the last one, to train on, where it only stands for a document."""
    unused: int
    """Rows left of the last one where it is a document, which stays out of the training."""


def _write_held_out(
    writer: LayerWriter, source: RowSource, config: ImportConfig, sieve: _Sieve
) -> _HeldOut | None:
    """Writes the rows to hold out; None where there are too few."""
    numbers: set[int] = set()
    wanted = config.held_out_tokens
    for number, rows_ND in _read(source, _drawn(source, config), config.storage):
        taken = sieve.first_rows(rows_ND, wanted)
        kept_ND = sieve.pass_on(rows_ND[:taken])
        _add(writer, Split.held_out, number, kept_ND)
        numbers.add(number)
        wanted -= len(kept_ND)
        if wanted == 0:
            writer.flush(Split.held_out)
            rest = source.pieces[number].after(taken)
            unused = 0 if rest else len(rows_ND) - taken
            return _HeldOut(pieces=frozenset(numbers), rest=rest, unused=unused)
    return None


def _nothing_left(source: RowSource, config: ImportConfig, prefix: str) -> SaeError:
    rows = sum(len(piece.read()) for piece in source.pieces)
    return SaeError(
        f"{prefix}held_out_tokens must leave rows of {source.name} to train on "
        f"(of {rows} in {len(source.pieces)} documents), but got {config.held_out_tokens}."
    )


def _read(
    source: RowSource, numbers: Iterable[int], storage: StorageType
) -> Iterator[tuple[int, Tensor]]:
    """The pieces of those numbers, checked."""
    for number in numbers:
        piece = source.pieces[number]
        rows_ND = piece.read()
        _require_good(piece, rows_ND, source.d_in, storage)
        yield number, rows_ND


def _require_good(piece: Piece, rows_ND: Tensor, d_in: int, storage: StorageType) -> None:
    if rows_ND.shape[1] != d_in:
        raise SaeError(
            f"{piece.origin} must hold rows of width {d_in}, but row {piece.first_row} has "
            f"{rows_ND.shape[1]}."
        )
    if (row := first_non_finite_row(rows_ND)) is not None:
        raise SaeError(f"{piece.origin} must be finite, but row {piece.first_row + row} is not.")
    if (row := first_non_finite_row(rows_ND.to(storage.torch_dtype))) is not None:
        raise SaeError(
            f"{piece.origin} must fit into {storage}, but row {piece.first_row + row} holds "
            f"{float(rows_ND[row].abs().max()):.4g}."
        )


def _add(writer: LayerWriter, split: Split, document: int, rows_ND: Tensor) -> None:
    ids_N2 = torch.tensor([document, UNKNOWN_TOKEN]).expand(len(rows_ND), 2)
    writer.add(split, rows_ND, ids_N2)
