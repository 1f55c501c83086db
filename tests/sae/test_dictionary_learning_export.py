"""Held against dictionary_learning's own equations, written out here from its classes."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sae.dictionary_learning_export import save_dictionary_learning
from sae.sae_file import Sae

D, F = 6, 10
EXTRA: dict[str, tuple[str, ...]] = {
    "standard": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
}


def sae_of(architecture: str, centred: bool = True) -> Sae:
    random = torch.Generator().manual_seed(0)
    tensors = {
        "W_enc": torch.randn(D, F, generator=random),
        "W_dec": 3 * torch.randn(F, D, generator=random),
        "b_dec": torch.randn(D, generator=random),
    }
    for name in EXTRA[architecture]:
        tensors[name] = 0.5 * torch.rand(F, generator=random)
    metadata = {"model_name": "a model", "layer": 3, "hook_name": "blocks.3"}
    config = {"apply_b_dec_to_input": centred, "k": 3, "metadata": metadata}
    return Sae(architecture=architecture, d_in=D, latent_dim=F, tensors=tensors, config=config)


def reconstruct(name: str, state: dict[str, Tensor], x: Tensor) -> Tensor:
    if name == "JumpReluAutoEncoder":
        pre = x @ state["W_enc"] + state["b_enc"]
        f = torch.relu(pre * (pre > state["threshold"]))
        return f @ state["W_dec"] + state["b_dec"]
    bias = {"AutoEncoder": "bias", "GatedAutoEncoder": "decoder_bias"}.get(name, "b_dec")
    encoded = (x - state[bias]) @ state["encoder.weight"].t()
    if name == "GatedAutoEncoder":
        magnitude = torch.relu(state["r_mag"].exp() * encoded + state["mag_bias"])
        f = (encoded + state["gate_bias"] > 0) * magnitude
    else:
        f = torch.relu(encoded + state["encoder.bias"])
    if name == "AutoEncoderTopK":
        top = f.topk(int(state["k"]), dim=-1)
        f = torch.zeros_like(f).scatter_(-1, top.indices, top.values)
    return f @ state["decoder.weight"].t() + state[bias]


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("architecture", list(EXTRA))
def test_save_dictionary_learning_reconstructs_alike(
    architecture: str, centred: bool, tmp_path: Path
) -> None:
    sae = sae_of(architecture, centred)
    save_dictionary_learning(tmp_path, sae)
    name = json.loads((tmp_path / "config.json").read_text())["trainer"]["dict_class"]
    state = torch.load(tmp_path / "ae.pt", weights_only=True)
    x = torch.randn(64, D, generator=torch.Generator().manual_seed(1))
    assert (sae.encode(x) > 0).any()
    torch.testing.assert_close(reconstruct(name, state, x), sae(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["standard", "gated", "jumprelu"])
def test_save_dictionary_learning_writes_decoder_rows_of_norm_one(
    architecture: str, tmp_path: Path
) -> None:
    save_dictionary_learning(tmp_path, sae_of(architecture))
    state = torch.load(tmp_path / "ae.pt", weights_only=True)
    rows = state["W_dec"] if "W_dec" in state else state["decoder.weight"].t()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(F))


def test_save_dictionary_learning_says_what_it_was_trained_on(tmp_path: Path) -> None:
    save_dictionary_learning(tmp_path, sae_of("topk"))
    trainer = json.loads((tmp_path / "config.json").read_text())["trainer"]
    assert trainer == {
        "dict_class": "AutoEncoderTopK",
        "activation_dim": D,
        "dict_size": F,
        "layer": 3,
        "lm_name": "a model",
        "submodule_name": "blocks.3",
        "k": 3,
    }


def test_save_dictionary_learning_of_a_zero_row_stays_finite(tmp_path: Path) -> None:
    sae = sae_of("standard")
    sae.tensors["W_dec"][2] = 0
    save_dictionary_learning(tmp_path, sae)
    state = torch.load(tmp_path / "ae.pt", weights_only=True)
    assert all(value.isfinite().all() for value in state.values())


def test_save_dictionary_learning_takes_a_path_as_text(tmp_path: Path) -> None:
    save_dictionary_learning(str(tmp_path / "exported"), sae_of("standard"))
    assert (tmp_path / "exported" / "ae.pt").is_file()
