import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from sae.activations import ActivationStore
from sae.architectures.config import SaeConfig
from sae.architectures.standard import StandardSae
from sae.export import save_sae
from sae.sae_file import load
from sae.workspace import Workspace


def trained_sae(store: ActivationStore) -> StandardSae:
    generator = torch.Generator().manual_seed(0)
    workspace = Workspace(torch.float32, torch.device("cpu"))
    model = StandardSae(SaeConfig(latent_dim=24), store.d_in, generator, workspace)
    for value in model.parameters.values():
        value += 0.1 * torch.randn(value.shape, generator=generator)
    return model


def test_save_sae_reconstructs_raw_activations_as_the_model_in_memory(
    store: ActivationStore, tmp_path: Path
) -> None:
    model = trained_sae(store)
    save_sae(tmp_path / "sae", model.inference_weights(), store, {})
    raw, _ = next(store.held_out_batches(256))
    weights = {name: value.double() for name, value in model.parameters.items()}
    x = (raw.double() - store.mean.double()) * store.scale
    f = torch.relu((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    x_hat = f @ weights["W_dec"] + weights["b_dec"]
    sae = load(tmp_path / "sae")
    torch.testing.assert_close(sae.encode(raw).double(), f, rtol=1e-4, atol=1e-5)
    expected = x_hat / store.scale + store.mean.double()
    torch.testing.assert_close(sae(raw).double(), expected, rtol=1e-4, atol=1e-5)


def test_save_sae_leaves_the_model_unchanged(store: ActivationStore, tmp_path: Path) -> None:
    model = trained_sae(store)
    before = {name: value.clone() for name, value in model.parameters.items()}
    save_sae(tmp_path / "sae", model.inference_weights(), store, {})
    assert all(torch.equal(value, before[name]) for name, value in model.parameters.items())


def test_save_sae_writes_what_saelens_6_reads(store: ActivationStore, tmp_path: Path) -> None:
    save_sae(tmp_path / "sae", trained_sae(store).inference_weights(), store, {"alpha": 2.0})
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert config["architecture"] == "standard"
    assert (config["d_in"], config["d_sae"], config["dtype"]) == (16, 24, "float32")
    assert config["apply_b_dec_to_input"] is True
    assert config["normalize_activations"] == "none"
    metadata = config["metadata"]
    assert metadata["sae_lens_version"] >= "6.0.0"
    assert metadata["alpha"] == 2.0
    assert metadata["canonical_scale"] == store.scale
    assert metadata["canonical_mean"] == store.mean.tolist()
    assert store.description.items() <= metadata.items()


def test_save_sae_writes_exactly_the_standard_tensors(
    store: ActivationStore, tmp_path: Path
) -> None:
    save_sae(tmp_path / "sae", trained_sae(store).inference_weights(), store, {})
    tensors = load_file(tmp_path / "sae" / "sae_weights.safetensors")
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    assert shapes == {"W_enc": (16, 24), "W_dec": (24, 16), "b_enc": (24,), "b_dec": (16,)}
