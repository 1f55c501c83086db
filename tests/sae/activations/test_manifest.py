import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sae.activations.manifest import Manifest, Shard, Split, StorageType, read_manifest
from sae.activations.statistics import ActivationStatistics
from sae.errors import SaeError

MANIFEST = Manifest(
    name="test layer 2",
    description={"layer": 2},
    storage=StorageType.float32,
    statistics=ActivationStatistics(
        tokens=7,
        mean=torch.tensor([0.1, -1 / 3], dtype=torch.float64),
        centred_rms_norm=2.0,
        raw_mean_norm=2.1,
        raw_rms_norm=2.2,
    ),
    shards=(
        Shard(
            file="train_00000.safetensors",
            split=Split.train,
            tokens=7,
            bytes=300,
            sha256="0" * 64,
        ),
        Shard(
            file="held_out_00000.safetensors",
            split=Split.held_out,
            tokens=2,
            bytes=200,
            sha256="1" * 64,
        ),
    ),
)


def test_manifest_read_back_is_what_was_written(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    read = read_manifest(tmp_path)
    assert read.facts() == MANIFEST.facts()
    assert read.shards == MANIFEST.shards
    assert torch.equal(read.statistics.mean, MANIFEST.statistics.mean)


def test_manifest_fingerprint_ignores_names_and_follows_the_data() -> None:
    renamed = replace(MANIFEST, name="other", description={})
    other_shard = replace(MANIFEST.shards[0], sha256="2" * 64)
    other = replace(MANIFEST, shards=(other_shard, MANIFEST.shards[1]))
    assert renamed.fingerprint == MANIFEST.fingerprint
    assert other.fingerprint != MANIFEST.fingerprint


def test_read_manifest_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=r"must hold a manifest\.json, but there is none"):
        read_manifest(tmp_path)


def test_read_manifest_of_the_folder_above_names_those_below(tmp_path: Path) -> None:
    (tmp_path / "layer_3").mkdir()
    (tmp_path / "layer_3" / "manifest.json").touch()
    with pytest.raises(SaeError, match=r"there is none; it holds layer_3\.$"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["{", "\xff", "[1]", '{"format": "other", "version": 1}'])
def test_read_manifest_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SaeError, match=r"manifest\.json must be (readable JSON|of format)"):
        read_manifest(tmp_path)


def test_read_manifest_of_another_version_names_it(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "sae-activations", "version": 9}')
    with pytest.raises(SaeError, match="version 1, but got 'sae-activations', version 9"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("mean", None, "."),
        ("mean", [1.0], "the mean's length is not d_in"),
        ("d_in", 3, "the mean's length is not d_in"),
        ("train_tokens", 8, "the train shards do not add up to train_tokens"),
        ("held_out_tokens", 0, "the held_out shards do not add up to held_out_tokens"),
        ("centred_rms_norm", 0.0, "a norm is not finite and positive"),
        ("raw_rms_norm", float("nan"), "a norm is not finite and positive"),
        ("dtype", "int8", "int8"),
        ("shards", [{"file": "x"}], "no key 'split'"),
        ("description", 3, "."),
    ],
)
def test_read_manifest_with_a_field_wrong_says_which(
    tmp_path: Path, key: str, value: Any, reason: str
) -> None:
    MANIFEST.write(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text()) | {key: value}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(SaeError, match=rf"must be a whole manifest, but got: .*{reason}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../train_00000.safetensors"),
        ("file", "/etc/passwd"),
        ("file", "held_out_00003.safetensors"),
        ("tokens", -1),
        ("bytes", 0),
        ("sha256", "abc"),
    ],
)
def test_read_manifest_with_an_impossible_shard_is_refused(
    tmp_path: Path, key: str, value: Any
) -> None:
    MANIFEST.write(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text())
    content["shards"][0][key] = value
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(SaeError, match="must be a whole manifest, but got: shard"):
        read_manifest(tmp_path)
