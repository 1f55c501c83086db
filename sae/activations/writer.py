"""Writing a folder of activations that appears whole or not at all.

Shapes: N tokens of a block, D = d_in.
"""

import fcntl
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sae.activations.manifest import Manifest, Shard, Split, StorageType
from sae.activations.rows import first_non_finite_row
from sae.activations.shards import bytes_per_token, file_sha256, write_shard
from sae.activations.statistics import StatisticsAccumulator
from sae.errors import SaeError

MEGABYTE = 1_000_000


class LayerWriter:
    """Takes one layer's tokens split by split and writes its shards and manifest."""

    def __init__(self, folder: Path, d_in: int, storage: StorageType, shard_tokens: int) -> None:
        self.folder = folder
        self._d_in = d_in
        self._storage = storage
        self._shard_tokens = shard_tokens
        self._statistics = StatisticsAccumulator(d_in)
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._shards: list[Shard] = []

    def add(self, split: Split, rows_ND: Tensor, ids_N2: Tensor) -> None:
        """Takes a block of tokens, and writes shards as they fill up.

        Args:
            split: What the tokens are for.
            rows_ND: Raw activations [n, d_in].
            ids_N2: int64 [n, 2]: document id and token id.

        Raises:
            SaeError: An activation is NaN or infinite once it has the stored type.
            OSError: The disk is full or the folder cannot be written.
        """
        self._pending.append((rows_ND.to(self._storage.torch_dtype), ids_N2))
        if sum(len(rows) for rows, _ in self._pending) >= self._shard_tokens:
            self.flush(split)

    def flush(self, split: Split) -> None:
        """Writes what is pending; called at the end of a split.

        Raises:
            SaeError: As `add`.
            OSError: As `add`.
        """
        if not self._pending:
            return
        rows_ND = torch.cat([rows for rows, _ in self._pending])
        ids_N2 = torch.cat([ids for _, ids in self._pending])
        self._pending.clear()
        for rows, ids in zip(
            rows_ND.split(self._shard_tokens), ids_N2.split(self._shard_tokens), strict=True
        ):
            self._write(split, rows, ids)

    def _write(self, split: Split, rows_ND: Tensor, ids_N2: Tensor) -> None:
        number = sum(shard.split is split for shard in self._shards)
        file = f"{split}_{number:05d}.safetensors"
        if (row := first_non_finite_row(rows_ND)) is not None:
            document, token = ids_N2[row].tolist()
            raise SaeError(
                f"activations must be finite in {self._storage}, but row {row} of shard {file} "
                f"(document {document}, token id {token}) is not."
            )
        if split is Split.train:
            self._statistics.update(rows_ND)
        self._shards.append(write_shard(self.folder, file, split, rows_ND, ids_N2))

    @property
    def shards(self) -> tuple[Shard, ...]:
        """What is written so far."""
        return tuple(self._shards)

    def restore(self, shards: Sequence[Shard]) -> None:
        """Goes on after shards that an earlier process wrote into the folder.

        Raises:
            SaeError: A shard is not as it was written.
            OSError: A shard is not there.
        """
        for shard in shards:
            path = self.folder / shard.file
            if (sha256 := file_sha256(path)) != shard.sha256:
                raise SaeError(f"shard {path} must have sha256 {shard.sha256}, but got {sha256}.")
            if shard.split is Split.train:
                self._statistics.update(load_file(path)["activations"])
        self._shards = list(shards)

    def forget(self) -> None:
        """Begins again, as if nothing had been written."""
        self._statistics = StatisticsAccumulator(self._d_in)
        self._shards.clear()

    def finish(self, name: str, description: Mapping[str, Any]) -> Manifest:
        """Writes the manifest, training shards first.

        Raises:
            SaeError: The training tokens have no spread.
            OSError: The folder cannot be written.
        """
        manifest = Manifest(
            name=name,
            description=description,
            storage=self._storage,
            statistics=self._statistics.result(name),
            shards=tuple(s for split in Split for s in self._shards if s.split is split),
        )
        manifest.write(self.folder)
        return manifest


def require_disk(folder: Path, tokens: int, widths: Sequence[int], storage: StorageType) -> int:
    """Checks that the disk of `folder` has room, and returns the bytes needed.

    Raises:
        SaeError: It has not; the message names what is needed and what is free.
    """
    needed = tokens * sum(bytes_per_token(width, storage) for width in widths)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SaeError(
            f"disk of {folder} must have {needed / MEGABYTE:,.1f} MB free for {tokens:,} tokens "
            f"of {len(widths)} layers, but got {free / MEGABYTE:,.1f} MB."
        )
    return needed


@contextmanager
def exclusive_folder(folder: Path) -> Generator[None]:
    """Makes `folder` and keeps other processes from writing into it meanwhile.

    Several runs may start at once and all want the same activations: the first extracts them,
    the others wait and find them there.

    Raises:
        SaeError: The folder cannot be made or written, or the disk ran full within the block.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except (OSError, SafetensorError) as error:
        raise SaeError(f"output folder {folder} must be writable, but got: {error}.") from error


@contextmanager
def published(folder: Path) -> Generator[Path]:
    """A folder to write into that becomes `folder` when the block ends without an error.

    Only within `exclusive_folder` of its parent: what an earlier, killed process left is removed.

    Raises:
        OSError: The parent cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
