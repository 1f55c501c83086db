"""Writes a trained SAE as a folder that dictionary_learning loads, for raw activations.

The library stores a pickle, ae.pt: it is written here and never read. Decoder rows have norm one,
which its loader demands of some classes and its users expect of all; the latents are then ours
times the rows' norms n, since f n (row / n) = f row. (A topk whose rows differ in norm, which is
none of ours, keeps their proportions.) Shape letters: D d_in, F latent_dim.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sae.files import write_atomically, write_json_atomically
from sae.sae_file import Sae

WEIGHTS_NAME = "ae.pt"
CONFIG_NAME = "config.json"
NO_THRESHOLD = -1.0
"""dictionary_learning's value for a threshold that was never estimated."""


def save_dictionary_learning(folder: Path | str, sae: Sae) -> None:
    """Writes config.json and ae.pt for `dictionary_learning.utils.load_dictionary`.

    standard becomes AutoEncoder, gated GatedAutoEncoder, topk AutoEncoderTopK, and jumprelu, with
    which batchtopk is saved, JumpReluAutoEncoder.

    Args:
        folder: Made if absent.
        sae: As `sae.load` returns it: for raw activations.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = Path(folder)
    class_name, convert = _CLASSES[sae.architecture]
    exact = {name: value.detach().cpu().double() for name, value in sae.tensors.items()}
    state = convert(_with_unit_rows(_with_centred_input(exact, sae), sae.architecture), sae)
    metadata = sae.config.get("metadata", {})
    trainer = {
        "dict_class": class_name,
        "activation_dim": sae.d_in,
        "dict_size": sae.latent_dim,
        "layer": metadata.get("layer"),
        "lm_name": metadata.get("model_name"),
        "submodule_name": metadata.get("hook_name"),
    }
    if "k" in sae.config:
        trainer["k"] = sae.config["k"]
    buffer = {"ctx_len": metadata.get("context_size")}
    stream = io.BytesIO()
    torch.save(state, stream)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS_NAME, stream.getvalue())
    write_json_atomically(folder / CONFIG_NAME, {"trainer": trainer, "buffer": buffer})


def _with_centred_input(tensors: Mapping[str, Tensor], sae: Sae) -> dict[str, Tensor]:
    """Biases for an encoder that sees x - b_dec, where the file's sees x."""
    if sae.config.get("apply_b_dec_to_input", True):
        return dict(tensors)
    return _shifted(tensors, tensors["b_dec"] @ tensors["W_enc"])


def _shifted(tensors: Mapping[str, Tensor], shift_F: Tensor) -> dict[str, Tensor]:
    moved = dict(tensors)
    for name in ("b_enc", "b_gate"):
        if name in moved:
            moved[name] = moved[name] + shift_F
    if "b_mag" in moved:
        moved["b_mag"] = moved["b_mag"] + shift_F * moved["r_mag"].exp()
    return moved


def _with_unit_rows(tensors: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    norms_F = tensors["W_dec"].norm(dim=1)
    if architecture == "topk":  # a factor of each latent's own would change which are selected
        norms_F = norms_F.mean().expand_as(norms_F)
    norms_F = torch.where(norms_F > 0, norms_F, torch.ones_like(norms_F))
    scaled = {name: value * norms_F for name, value in tensors.items() if name in _PER_LATENT}
    return {**tensors, **scaled, "W_dec": tensors["W_dec"] / norms_F.unsqueeze(1)}


_PER_LATENT = ("W_enc", "b_enc", "b_gate", "b_mag", "threshold")
"""In units of latents, along their last axis."""


def _linear(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The two matrices as torch.nn.Linear has them, and the vectors under their other names."""
    state = {"encoder.weight": tensors["W_enc"].t(), "decoder.weight": tensors["W_dec"].t()}
    state |= {theirs: tensors[ours] for ours, theirs in names.items()}
    return {name: value.float().contiguous() for name, value in state.items()}


def _auto_encoder(tensors: Mapping[str, Tensor], _sae: Sae) -> dict[str, Tensor]:
    return _linear(tensors, {"b_enc": "encoder.bias", "b_dec": "bias"})


def _gated(tensors: Mapping[str, Tensor], _sae: Sae) -> dict[str, Tensor]:
    names = {"b_dec": "decoder_bias", "b_gate": "gate_bias", "b_mag": "mag_bias"}
    return _linear(tensors, {**names, "r_mag": "r_mag"})


def _topk(tensors: Mapping[str, Tensor], sae: Sae) -> dict[str, Tensor]:
    return _linear(tensors, {"b_enc": "encoder.bias", "b_dec": "b_dec"}) | {
        "k": torch.tensor(sae.config["k"], dtype=torch.int),
        "threshold": torch.tensor(NO_THRESHOLD),
    }


def _jumprelu(tensors: Mapping[str, Tensor], _sae: Sae) -> dict[str, Tensor]:
    """Its encoder does not subtract b_dec, so that its bias does."""
    moved = _shifted(tensors, -(tensors["b_dec"] @ tensors["W_enc"]))
    return {name: value.float().contiguous() for name, value in moved.items()}


_CLASSES: dict[str, tuple[str, Callable[[Mapping[str, Tensor], Sae], dict[str, Tensor]]]] = {
    "standard": ("AutoEncoder", _auto_encoder),
    "gated": ("GatedAutoEncoder", _gated),
    "topk": ("AutoEncoderTopK", _topk),
    "jumprelu": ("JumpReluAutoEncoder", _jumprelu),
}
"""By SAELens's name of the inference architecture."""
