import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae.activations.corpus import Corpus
from sae.activations.extraction import extract
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.folder import open_folder, resolve_folder, verify_folder
from sae.activations.model import LanguageModel
from sae.activations.rows import Rows
from sae.activations.shards import file_sha256
from sae.errors import SaeError


@pytest.fixture(scope="module")
def original(
    bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    config = ExtractionConfig(layers=(1,), held_out_tokens=60, shard_tokens=100)
    return extract(bert, corpus, config, tmp_path_factory.mktemp("out"))[0]


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "layer_1"))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def replace_shard(folder: Path, file: str, **tensors: torch.Tensor) -> None:
    """Writes other tensors into a shard and makes the manifest agree on size and checksum."""
    save_file({**load_file(folder / file), **tensors}, folder / file)

    def agree(content: dict[str, Any]) -> None:
        entry = next(shard for shard in content["shards"] if shard["file"] == file)
        entry["bytes"] = (folder / file).stat().st_size
        entry["sha256"] = file_sha256(folder / file)

    edit_manifest(folder, agree)


def test_open_folder_without_a_shard_names_it(folder: Path) -> None:
    (folder / "train_00001.safetensors").unlink()
    with pytest.raises(SaeError, match=r"shard .*train_00001\.safetensors must be there, but"):
        open_folder(folder)


def test_open_folder_with_a_truncated_shard_names_sizes(folder: Path) -> None:
    shard = folder / "train_00000.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(
        SaeError, match=rf"train_00000.* must have {len(whole)} bytes, but got {len(whole) - 100}"
    ):
        open_folder(folder)


def test_open_folder_with_an_unreadable_shard_names_it(folder: Path) -> None:
    shard = folder / "held_out_00000.safetensors"
    shard.write_bytes(b"\xff" * shard.stat().st_size)
    with pytest.raises(SaeError, match=r"held_out_00000\.\w+ must be readable safetensors"):
        open_folder(folder)


@pytest.mark.parametrize(
    "tensors",
    [
        {"activations": torch.zeros(100, 15)},
        {"activations": torch.zeros(99, 16)},
        {"activations": torch.zeros(100, 16, dtype=torch.float16)},
        {"document_ids": torch.zeros(99, dtype=torch.int64)},
        {"extra": torch.zeros(1)},
    ],
)
def test_open_folder_with_a_shard_other_than_its_manifest_is_refused(
    folder: Path, tensors: dict[str, torch.Tensor]
) -> None:
    replace_shard(folder, "train_00000.safetensors", **tensors)
    with pytest.raises(SaeError, match=r"train_00000\.safetensors must hold .* by its manifest"):
        open_folder(folder)


def test_open_folder_maps_rows_without_reading_them(folder: Path) -> None:
    store = open_folder(folder)
    assert isinstance(store.train, Rows)
    rows, _ = store.train.blocks()[0]
    with (folder / "train_00000.safetensors").open("r+b") as stream:
        before = stream.read()
        stream.seek(before.index(rows[0].numpy().tobytes()))
        stream.write(b"\0" * 4)
    assert float(rows[0, 0]) == 0


def test_verify_folder_accepts_what_extraction_wrote(folder: Path) -> None:
    assert verify_folder(folder).name == "tiny-bert layer 1"


def test_verify_folder_with_one_bit_flipped_names_the_shard(folder: Path) -> None:
    shard = folder / "train_00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    open_folder(folder)  # the cheap check does not see it
    with pytest.raises(SaeError, match=r"train_00001\.safetensors must have sha256 .*, but got"):
        verify_folder(folder)


def test_verify_folder_without_a_shard_names_it(folder: Path) -> None:
    (folder / "train_00000.safetensors").unlink()
    with pytest.raises(SaeError, match=r"train_00000\.safetensors must be there"):
        verify_folder(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_verify_folder_with_a_value_not_finite_names_shard_and_row(
    folder: Path, value: float
) -> None:
    rows = load_file(folder / "train_00000.safetensors")["activations"]
    rows[17, 3] = value
    replace_shard(folder, "train_00000.safetensors", activations=rows)
    with pytest.raises(SaeError, match=r"train_00000\.safetensors must be finite, but row 17 is"):
        verify_folder(folder)


def test_verify_folder_with_a_document_in_both_splits_names_it(folder: Path) -> None:
    train = load_file(folder / "train_00000.safetensors")["document_ids"]
    held_out = load_file(folder / "held_out_00000.safetensors")["document_ids"]
    held_out[0] = train[0]
    replace_shard(folder, "held_out_00000.safetensors", document_ids=held_out)
    with pytest.raises(SaeError, match=f"but document {int(train[0])} is in both"):
        verify_folder(folder)


@pytest.mark.parametrize("key", ["centred_rms_norm", "raw_mean_norm", "raw_rms_norm"])
def test_verify_folder_with_other_norms_in_the_manifest_is_refused(folder: Path, key: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content[key] *= 1.001

    edit_manifest(folder, change)
    with pytest.raises(SaeError, match=r"manifest\.json must state .* by its shards, but got"):
        verify_folder(folder)


def test_verify_folder_with_another_mean_in_the_manifest_is_refused(folder: Path) -> None:
    def swap(content: dict[str, Any]) -> None:
        content["mean"].reverse()  # the same norm, so gamma does not see it

    edit_manifest(folder, swap)
    with pytest.raises(SaeError, match="must state its shards' mean, but is off"):
        verify_folder(folder)


def test_resolve_folder_finds_a_layer_below_its_parent(folder: Path) -> None:
    assert resolve_folder(folder.parent, 1) == folder
    assert resolve_folder(folder, 3) == folder


def test_resolve_folder_without_a_manifest_names_what_was_looked_for(folder: Path) -> None:
    with pytest.raises(SaeError, match=r"must hold a manifest\.json, itself or in layer_2, but"):
        resolve_folder(folder.parent, 2)


def test_resolve_folder_without_a_manifest_names_the_folders_that_have_one(folder: Path) -> None:
    with pytest.raises(SaeError, match=rf"{folder.parent.name}; it holds {folder.name}\.$"):
        resolve_folder(folder.parent, 2)
