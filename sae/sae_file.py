"""A trained SAE for inference, read from a folder in SAELens 6's format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sae.encoders import TENSOR_NAMES, encode, unit_decoder
from sae.errors import SaeError

CONFIG_NAME = "cfg.json"
WEIGHTS_NAME = "sae_weights.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sae:
    """Encodes activations as the model gives them (raw, not centred or scaled)."""

    architecture: str
    """SAELens's name of the inference architecture."""
    d_in: int
    """Size of an activation."""
    latent_dim: int
    """Number of latents."""
    tensors: Mapping[str, Tensor]
    """W_enc [d_in, latent_dim], W_dec [latent_dim, d_in], b_dec [d_in] and what else it needs."""
    config: Mapping[str, Any]
    """The whole of cfg.json, with `metadata`."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the configuration says of where the SAE comes from; empty where it says nothing."""
        found = self.config.get("metadata")
        return found if isinstance(found, dict) else {}

    def encode(self, x: Tensor) -> Tensor:
        """Latents of raw activations.

        Args:
            x: Raw activations [..., d_in]; any float type, computed in that of the weights.

        Returns:
            Non-negative latents [..., latent_dim].

        Raises:
            SaeError: `x` is no tensor, or its last dimension is not d_in.
        """
        _require_tensor(x)
        if x.dim() == 0 or x.shape[-1] != self.d_in:
            got = x.shape[-1] if x.dim() else "a single number"
            raise SaeError(f"Activations must have d_in {self.d_in}, but got {got}.")
        return encode(
            self.architecture, x.to(self.tensors["W_enc"].dtype), self.tensors, self.config
        )

    def decode(self, f: Tensor) -> Tensor:
        """Raw activations [..., d_in] that the latents `f` [..., latent_dim] stand for."""
        return f @ self.tensors["W_dec"] + self.tensors["b_dec"]

    def __call__(self, x: Tensor) -> Tensor:
        """Reconstruction of raw activations, shape as `x`."""
        return self.decode(self.encode(x))

    def to(self, device: torch.device | str) -> "Sae":
        """The same SAE with its tensors on another device."""
        return Sae(
            architecture=self.architecture,
            d_in=self.d_in,
            latent_dim=self.latent_dim,
            tensors={name: value.to(device) for name, value in self.tensors.items()},
            config=self.config,
        )


def _require_tensor(x: object) -> None:
    """Raises a SaeError for what is no tensor, such as an array of numpy's."""
    if not isinstance(x, Tensor):
        raise SaeError(f"Activations must be a torch.Tensor, but got a {type(x).__name__}.")


def load(path: Path | str) -> Sae:
    """Reads an SAE folder: ours, or any that SAELens 6 wrote.

    Args:
        path: A folder with cfg.json and sae_weights.safetensors.

    Raises:
        SaeError: A file is missing, truncated, foreign, or does not match the other.
    """
    folder = Path(path)
    config = _read_config(folder / CONFIG_NAME)
    tensors = _read_tensors(folder / WEIGHTS_NAME)
    _check(config, tensors, folder)
    if config.get("rescale_acts_by_decoder_norm", False):
        tensors = unit_decoder(tensors)
    return Sae(
        architecture=config["architecture"],
        d_in=config["d_in"],
        latent_dim=config["d_sae"],
        tensors=tensors,
        config=config,
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise SaeError(f"{path} must be readable, but got: {error.strerror}.") from error
    except ValueError as error:
        raise SaeError(f"{path} must be JSON, but got: {error}.") from error
    needed = ("architecture", "d_in", "d_sae")
    if not isinstance(config, dict) or any(key not in config for key in needed):
        raise SaeError(f"{path} must be an SAE's configuration with {', '.join(needed)}.")
    for key in ("d_in", "d_sae"):
        if type(config[key]) is not int:
            raise SaeError(f"{path}: {key} must be a whole number, but got {config[key]!r}.")
    return config


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise SaeError(f"{path} must exist, but there is no such file.")
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise SaeError(f"{path} must be a whole safetensors file, but got: {error}.") from error


def _check(config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path) -> None:
    architecture = config["architecture"]
    if not isinstance(architecture, str) or architecture not in TENSOR_NAMES:
        known = ", ".join(TENSOR_NAMES)
        raise SaeError(f"{folder}: architecture must be one of {known}, but got {architecture!r}.")
    for key, value in (("normalize_activations", "none"), ("reshape_activations", "none")):
        if config.get(key, value) != value:
            raise SaeError(f"{folder}: {key} must be {value!r}, but got {config[key]!r}.")
    k, latent_dim = config.get("k"), config["d_sae"]
    # To Python True is an int, to torch it is none.
    is_count = isinstance(k, int) and k is not True and 1 <= k <= latent_dim
    if architecture == "topk" and not is_count:
        raise SaeError(f"{folder}: k must be from 1 to d_sae ({latent_dim}), but got {k!r}.")
    names = TENSOR_NAMES[architecture]
    if set(tensors) != names:
        raise SaeError(
            f"{folder} must hold the tensors {', '.join(sorted(names))}, "
            f"but got {', '.join(sorted(tensors)) or 'none'}."
        )
    sizes = {"D": config["d_in"], "F": config["d_sae"]}
    for name, tensor in tensors.items():
        letters = {"W_enc": "DF", "W_dec": "FD", "b_dec": "D"}.get(name, "F")
        shape = tuple(sizes[letter] for letter in letters)
        if tuple(tensor.shape) != shape:
            raise SaeError(
                f"{folder}: {name} must have shape {shape}, but got {tuple(tensor.shape)}."
            )
