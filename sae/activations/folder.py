"""Opening a folder of activations cheaply, and checking one thoroughly."""

import math
from pathlib import Path

from sae.activations.manifest import (
    MANIFEST,
    Manifest,
    Split,
    folders_within,
    read_manifest,
)
from sae.activations.shards import file_sha256, open_split
from sae.activations.statistics import StatisticsAccumulator
from sae.activations.store import ActivationStore
from sae.errors import SaeError


def layer_folder(parent: Path, layer: int) -> Path:
    """Where extraction puts one layer of several."""
    return parent / f"layer_{layer}"


def resolve_folder(path: Path, layer: int) -> Path:
    """`path` itself when it holds a manifest, otherwise its folder for `layer`.

    Raises:
        SaeError: Neither holds a manifest.
    """
    for folder in (path, layer_folder(path, layer)):
        if (folder / MANIFEST).is_file():
            return folder
    raise SaeError(
        f"activations.path must hold a {MANIFEST}, itself or in {layer_folder(path, layer).name}, "
        f"but got {path}{folders_within(path)}."
    )


def open_folder(folder: Path) -> ActivationStore:
    """Opens what extraction wrote: checks names, sizes, shapes and types, not the content.

    Raises:
        SaeError: The manifest or a shard is missing, truncated, or they contradict each other.
    """
    manifest = read_manifest(folder)
    return ActivationStore(
        name=manifest.name,
        description=manifest.description,
        fingerprint=manifest.fingerprint,
        statistics=manifest.statistics,
        train=open_split(folder, manifest, Split.train),
        held_out=open_split(folder, manifest, Split.held_out),
    )


def verify_folder(folder: Path) -> Manifest:
    """Reads every byte: checksums, finite numbers, statistics, and documents in one split only.

    Returns:
        The manifest, when all is well.

    Raises:
        SaeError: Something is not as the manifest says.
    """
    manifest = read_manifest(folder)
    for shard in manifest.shards:
        path = folder / shard.file
        if path.is_file() and (sha256 := file_sha256(path)) != shard.sha256:
            raise SaeError(f"shard {path} must have sha256 {shard.sha256}, but got {sha256}.")
    documents: dict[Split, set[int]] = {}
    accumulator = StatisticsAccumulator(manifest.d_in)
    for split in Split:
        rows = open_split(folder, manifest, split)
        rows.require_finite()
        documents[split] = set()
        for rows_ND, documents_N in rows.blocks():
            documents[split].update(documents_N.tolist())
            if split is Split.train:
                accumulator.update(rows_ND)
    if shared := documents[Split.train] & documents[Split.held_out]:
        raise SaeError(
            f"{folder} must hold out whole documents, but document {min(shared)} is in both."
        )
    _require_same_statistics(folder, manifest, accumulator)
    return manifest


def _require_same_statistics(
    folder: Path, manifest: Manifest, accumulator: StatisticsAccumulator
) -> None:
    stated, measured = manifest.statistics, accumulator.result()
    for key in ("scale", "raw_mean_norm", "raw_rms_norm", "gamma"):
        expected, got = getattr(measured, key), getattr(stated, key)
        # Shards are summed in other blocks than when they were written: rounding only.
        if not math.isclose(expected, got, rel_tol=1e-9, abs_tol=1e-12):
            raise SaeError(
                f"{folder / MANIFEST} must state {key} {expected} by its shards, but got {got}."
            )
    distance = float((measured.mean - stated.mean).norm())
    if distance > 1e-9 * measured.raw_rms_norm:
        raise SaeError(f"{folder / MANIFEST} must state its shards' mean, but is off {distance}.")
