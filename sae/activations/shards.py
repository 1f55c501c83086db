"""Shard files: one block of tokens each, as safetensors.

Tensors: `activations` [n, d_in] of the manifest's type, `document_ids` and `token_ids` [n] int64.
"""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.activations.manifest import Manifest, Shard, Split, StorageType
from sae.activations.rows import Rows
from sae.errors import SaeError

BYTES_OF_IDS = 16  # two int64 a token


def bytes_per_token(d_in: int, storage: StorageType) -> int:
    """Disk taken by one token; a shard's header adds less than a kilobyte."""
    return d_in * storage.torch_dtype.itemsize + BYTES_OF_IDS


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_shard(
    folder: Path,
    file: str,
    split: Split,
    activations_ND: Tensor,
    ids_N2: Tensor,
) -> Shard:
    """Writes one shard into a folder that is not yet published.

    Args:
        folder: Where the shard goes.
        file: Its name.
        split: What its tokens are for.
        activations_ND: [n, d_in], of the type to be stored.
        ids_N2: int64 [n, 2]: document id and token id.

    Returns:
        The shard's entry in the manifest.

    Raises:
        OSError: The disk is full or the folder cannot be written.
        SafetensorError: As OSError, where the library reports it.
    """
    path = folder / file
    save_file(
        {
            "activations": activations_ND.contiguous(),
            "document_ids": ids_N2[:, 0].contiguous(),
            "token_ids": ids_N2[:, 1].contiguous(),
        },
        path,
    )
    return Shard(
        file=file,
        split=split,
        tokens=activations_ND.shape[0],
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
    )


def open_split(folder: Path, manifest: Manifest, split: Split) -> Rows:
    """Memory-maps the shards of one split after checking their headers against the manifest.

    Raises:
        SaeError: A shard is missing, truncated or not what the manifest says.
    """
    shards = [shard for shard in manifest.shards if shard.split is split]
    opened = [_open_shard(folder / shard.file, shard, manifest) for shard in shards]
    names = [f"shard {folder / shard.file}" for shard in shards]
    return Rows([rows for rows, _ in opened], [documents for _, documents in opened], names)


def _open_shard(path: Path, shard: Shard, manifest: Manifest) -> tuple[Tensor, Tensor]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SaeError(f"shard {path} must be there, but got: {error.strerror}.") from error
    if size != shard.bytes:
        raise SaeError(f"shard {path} must have {shard.bytes} bytes, but got {size}.")
    try:
        # Tensors of safe_open are views of a memory-mapped file, so nothing is read yet.
        with safe_open(path, framework="pt") as file:
            tensors = {str(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SaeError(f"shard {path} must be readable safetensors, but got: {error}.") from error
    got = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    expected = {
        "activations": ((shard.tokens, manifest.d_in), manifest.storage.torch_dtype),
        "document_ids": ((shard.tokens,), torch.int64),
        "token_ids": ((shard.tokens,), torch.int64),
    }
    if got != expected:
        raise SaeError(f"shard {path} must hold {expected} by its manifest, but got {got}.")
    return tensors["activations"], tensors["document_ids"]
