"""Writes a trained SAE as a folder that SAELens 6 loads, for raw activations.

Training saw x = (raw - mean) * scale. With W_enc' = scale W_enc, W_dec' = W_dec / scale and
b_dec' = mean + b_dec / scale the same latents come from raw activations, and the reconstruction
is raw.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from sae.activations import ActivationStore
from sae.architectures.base import InferenceWeights
from sae.files import write_atomically, write_json_atomically
from sae.sae_file import CONFIG_NAME, WEIGHTS_NAME

SAELENS_FORMAT = "6.0.0"
"""Version of the format; SAELens converts anything older and drops unknown metadata."""


def fold(weights: InferenceWeights, mean: Tensor, scale: float) -> dict[str, Tensor]:
    """The tensors for raw activations, on the CPU; latents stay in canonical units.

    Args:
        weights: Trained in canonical space.
        mean: The dataset's mean [d_in].
        scale: What centred activations were multiplied by.
    """
    tensors = {name: value.cpu() for name, value in weights.tensors.items()}
    tensors["W_enc"] = tensors["W_enc"] * scale
    tensors["W_dec"] = tensors["W_dec"] / scale
    tensors["b_dec"] = mean.cpu() + tensors["b_dec"] / scale
    return {name: value.contiguous() for name, value in tensors.items()}


def save_sae(
    folder: Path, weights: InferenceWeights, store: ActivationStore, metadata: dict[str, Any]
) -> None:
    """Writes cfg.json and sae_weights.safetensors; equal input gives equal bytes.

    Args:
        folder: Made if absent.
        weights: Trained in canonical space.
        store: Gives mean, scale, and what the activations are.
        metadata: What else to record, such as alpha and its units.

    Raises:
        OSError: The folder cannot be written.
    """
    tensors = fold(weights, store.mean, store.scale)
    d_in, latent_dim = tensors["W_enc"].shape
    config = {
        "architecture": weights.architecture,
        "d_in": d_in,
        "d_sae": latent_dim,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **weights.extra,
        "metadata": {
            "sae_lens_version": SAELENS_FORMAT,
            **store.description,
            "activations": store.name,
            "activations_fingerprint": store.fingerprint,
            "canonical_mean": store.mean.tolist(),
            "canonical_scale": store.scale,
            "units": "x = (raw - mean) * scale; loss sums over d_in, means over the batch",
            **metadata,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS_NAME, save(tensors))
    write_json_atomically(folder / CONFIG_NAME, config)
