import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae.activations.model import LanguageModel, load_model
from sae.errors import SaeError

CPU = torch.device("cpu")


@pytest.fixture
def copy(bert_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert_folder, tmp_path / "copy"))


def test_load_model_names_its_blocks_and_width(bert: LanguageModel, gpt2: LanguageModel) -> None:
    assert (bert.name, bert.d_in, bert.context_tokens) == ("tiny-bert", 16, 32)
    assert bert.hook_name(3) == "encoder.layer.2"
    assert gpt2.hook_name(1) == "h.0"
    assert bert.weights.startswith("sha256:")


def test_load_model_leaves_the_verbosity_of_transformers_alone(bert_folder: Path) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    load_model(str(bert_folder), device=CPU)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_load_model_prints_nothing(bert_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(str(bert_folder), device=CPU)
    assert capfd.readouterr() == ("", "")


def test_load_model_from_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match="model must be a folder or a name on the hub, but got /"):
        load_model(str(tmp_path / "absent"), device=CPU)


def test_load_model_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=r"must hold a config\.json, but there is none"):
        load_model(str(tmp_path), device=CPU)


def test_load_model_of_pickled_weights_is_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(weights, copy / "pytorch_model.bin")
    with pytest.raises(SaeError, match=r"as safetensors \(pickles are never read\), but"):
        load_model(str(copy), device=CPU)


def test_load_model_never_reads_pickles_beside_other_safetensors(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").rename(copy / "unrelated.safetensors")
    torch.save(weights, copy / "pytorch_model.bin")
    with pytest.raises(SaeError, match=r"must be loadable, but got: .*safetensors"):
        load_model(str(copy), device=CPU)


def test_load_model_of_an_impossible_hub_name_is_refused_in_one_line() -> None:
    with pytest.raises(SaeError, match="model no/such/name must be loadable, but got: ") as error:
        load_model("no/such/name", device=CPU)
    assert "\n" not in str(error.value)


def test_load_model_of_a_truncated_file_is_refused_in_one_line(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(SaeError, match="must be loadable, but got: ") as error:
        load_model(str(copy), device=CPU)
    assert "\n" not in str(error.value)


def test_load_model_of_an_unreadable_config_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(SaeError, match="must be loadable, but got: "):
        load_model(str(copy), device=CPU)


def test_load_model_with_weights_missing_is_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        SaeError, match=r"1 are missing, such as encoder\.layer\.1\.output\.dense\.weight"
    ):
        load_model(str(copy), device=CPU)


def test_load_model_without_pooler_is_accepted(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    kept = {key: value for key, value in weights.items() if "pooler" not in key}
    assert len(kept) < len(weights)
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    assert load_model(str(copy), device=CPU).d_in == 16


def test_load_model_of_an_encoder_with_a_decoder_is_refused(
    bert_folder: Path, tmp_path: Path
) -> None:
    from transformers import T5Config, T5Model

    folder = Path(shutil.copytree(bert_folder, tmp_path / "t5"))
    config = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    T5Model(config).save_pretrained(folder)
    with pytest.raises(SaeError, match=r"must be an encoder or a decoder .* but got T5Model"):
        load_model(str(folder), device=CPU)


def test_load_model_without_transformers_names_the_extra(
    bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(_name: str) -> Any:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    with pytest.raises(SaeError, match=r"pip install 'sae-sweep\[demo\]'"):
        load_model(str(bert_folder), device=CPU)


@pytest.mark.parametrize("layer", [0, 4])
def test_sites_beyond_the_model_are_refused(bert: LanguageModel, layer: int) -> None:
    with pytest.raises(SaeError, match=f"from 1 to 3 for tiny-bert, but got {layer}"):
        bert.sites([1, layer])


def test_sites_are_blocks_then_modules(bert: LanguageModel) -> None:
    block, module = bert.sites([2], ["encoder.layer.0.attention"])
    assert (block.module, block.folder) == ("encoder.layer.1", "layer_2")
    assert (module.module, module.layer) == ("encoder.layer.0.attention", None)


def test_sites_module_of_a_layer_asked_for_as_well_is_refused(bert: LanguageModel) -> None:
    module = bert.hook_name(1)
    with pytest.raises(SaeError, match=rf"got '{re.escape(module)}', which is layer 1\.$"):
        bert.sites([1], [module])


def test_sites_of_an_absent_module_name_the_nearest(bert: LanguageModel) -> None:
    with pytest.raises(
        SaeError,
        match=r"module must be one of tiny-bert, but got 'encoder\.layer\.0\.atention', "
        r"did you mean 'encoder\.layer\.0\.attention'\?",
    ):
        bert.sites([], ["encoder.layer.0.atention"])
