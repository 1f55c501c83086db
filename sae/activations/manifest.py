"""The manifest of a folder of activations: what is in it, and how to tell that it is whole."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import torch

from sae.activations.statistics import ActivationStatistics
from sae.errors import SaeError
from sae.files import write_json_atomically

MANIFEST = "manifest.json"
FORMAT = "sae-activations"
VERSION = 1
_SHARD_FILE = re.compile(r"(train|held_out)_\d{5}\.safetensors")


class Split(StrEnum):
    """What a shard's tokens are for; no document is in both."""

    train = "train"
    held_out = "held_out"


class StorageType(StrEnum):
    """Number type of stored activations.

    float32 is the default. float16 ends at 65504, and single dimensions of a residual stream's
    first tokens can pass that; bfloat16 keeps the range but only 8 significant bits.
    """

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The same type in torch."""
        return {
            StorageType.float32: torch.float32,
            StorageType.bfloat16: torch.bfloat16,
            StorageType.float16: torch.float16,
        }[self]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One safetensors file of a folder."""

    file: str
    """File name inside the folder."""
    split: Split
    """What its tokens are for."""
    tokens: int
    """Its rows."""
    bytes: int
    """Its size on disk."""
    sha256: str
    """Of the whole file."""

    def __post_init__(self) -> None:
        if not _SHARD_FILE.fullmatch(self.file) or not self.file.startswith(self.split):
            raise ValueError(f"shard file name {self.file!r} is not one of {self.split} shards")
        if min(self.tokens, self.bytes) < 1 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"shard {self.file} has an impossible size or checksum")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Manifest:
    """Everything known about a folder of activations but the activations."""

    name: str
    """Short name for people."""
    description: Mapping[str, Any]
    """Model, hook, layer and corpus; plain JSON."""
    storage: StorageType
    """Number type in the shards."""
    statistics: ActivationStatistics
    """Moments of the training tokens, as stored."""
    shards: tuple[Shard, ...]
    """Training shards, then held-out ones, each in order."""

    @property
    def d_in(self) -> int:
        """Dimensions of an activation."""
        return self.statistics.d_in

    def tokens(self, split: Split) -> int:
        """Number of tokens in one split."""
        return sum(shard.tokens for shard in self.shards if shard.split is split)

    @property
    def fingerprint(self) -> str:
        """sha256 over number type, width and the shards' checksums, in order."""
        defining = [self.storage, self.d_in, [[s.split, s.tokens, s.sha256] for s in self.shards]]
        return hashlib.sha256(json.dumps(defining).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """The manifest without its shards and mean vector: what `sae-activations info` prints."""
        statistics = self.statistics
        return {
            "name": self.name,
            "d_in": self.d_in,
            "dtype": str(self.storage),
            "train_tokens": self.tokens(Split.train),
            "held_out_tokens": self.tokens(Split.held_out),
            "shards": len(self.shards),
            "bytes": sum(shard.bytes for shard in self.shards),
            "scale": statistics.scale,
            "raw_scale": statistics.raw_scale,
            "raw_mean_norm": statistics.raw_mean_norm,
            "raw_rms_norm": statistics.raw_rms_norm,
            "centred_rms_norm": statistics.centred_rms_norm,
            "gamma": statistics.gamma,
            "fingerprint": self.fingerprint,
            "description": dict(self.description),
        }

    def write(self, folder: Path) -> None:
        """Writes the manifest into its folder, after everything it speaks of.

        Raises:
            OSError: The folder cannot be written.
        """
        facts = self.facts()
        facts["shards"] = [asdict(shard) for shard in self.shards]
        facts["mean"] = self.statistics.mean.tolist()
        write_json_atomically(folder / MANIFEST, {"format": FORMAT, "version": VERSION, **facts})


def folders_within(parent: Path) -> str:
    """What a folder without a manifest holds that may have been meant; empty where nothing is."""
    names = sorted(path.parent.name for path in parent.glob(f"*/{MANIFEST}"))
    return f"; it holds {', '.join(names)}" if names else ""


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks `folder`/manifest.json; the shards themselves are not looked at.

    Raises:
        SaeError: There is none, or it is not one this version can read.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SaeError(
            f"{folder} must hold a {MANIFEST}, but there is none{folders_within(folder)}."
        ) from error
    except (OSError, ValueError) as error:
        raise SaeError(f"{path} must be readable JSON, but got: {error}.") from error
    kind = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    if (kind.get("format"), kind.get("version")) != (FORMAT, VERSION):
        raise SaeError(
            f"{path} must be of format {FORMAT}, version {VERSION}, "
            f"but got {kind.get('format')!r}, version {kind.get('version')!r}."
        )
    try:
        return _parse(kind)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise SaeError(f"{path} must be a whole manifest, but got: {reason}.") from error


def parse_shard(entry: Mapping[str, Any]) -> Shard:
    """A shard's entry as JSON gives it.

    Raises:
        KeyError, TypeError, ValueError: It is not one.
    """
    return Shard(
        file=str(entry["file"]),
        split=Split(entry["split"]),
        tokens=int(entry["tokens"]),
        bytes=int(entry["bytes"]),
        sha256=str(entry["sha256"]),
    )


def _parse(content: Mapping[str, Any]) -> Manifest:
    shards = tuple(parse_shard(entry) for entry in content["shards"])
    statistics = ActivationStatistics(
        tokens=int(content["train_tokens"]),
        mean=torch.tensor(content["mean"], dtype=torch.float64),
        centred_rms_norm=float(content["centred_rms_norm"]),
        raw_mean_norm=float(content["raw_mean_norm"]),
        raw_rms_norm=float(content["raw_rms_norm"]),
    )
    manifest = Manifest(
        name=str(content["name"]),
        description=dict(content["description"]),
        storage=StorageType(content["dtype"]),
        statistics=statistics,
        shards=shards,
    )
    _require_consistent(manifest, content)
    return manifest


def _require_consistent(manifest: Manifest, content: Mapping[str, Any]) -> None:
    statistics = manifest.statistics
    if statistics.mean.shape != (content["d_in"],):
        raise ValueError("the mean's length is not d_in")
    numbers = (statistics.centred_rms_norm, statistics.raw_mean_norm, statistics.raw_rms_norm)
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ValueError("a norm is not finite and positive")
    for split in Split:
        if manifest.tokens(split) != content[f"{split}_tokens"] or not manifest.tokens(split):
            raise ValueError(f"the {split} shards do not add up to {split}_tokens")
