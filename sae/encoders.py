"""How SAELens 6's inference architectures turn activations into latents.

Equations, with a = (x - b_dec) W_enc, or x W_enc where the file says so:

    standard: f = relu(a + b_enc)
    gated:    f = H(a + b_gate) relu(exp(r_mag) a + b_mag)
    jumprelu: f = relu(h) H(h - threshold),  h = a + b_enc
    topk:     f = relu of the k largest h, else 0

Leading dimensions are arbitrary; the last is d_in, then latent_dim.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Config = Mapping[str, Any]

_LINEAR = {"W_enc", "W_dec", "b_dec"}

TENSOR_NAMES: dict[str, set[str]] = {
    "standard": _LINEAR | {"b_enc"},
    "gated": _LINEAR | {"b_gate", "b_mag", "r_mag"},
    "jumprelu": _LINEAR | {"b_enc", "threshold"},
    "topk": _LINEAR | {"b_enc"},
}
"""Exactly these tensors make an inference architecture."""


def encode(architecture: str, x: Tensor, tensors: Tensors, config: Config) -> Tensor:
    """Latents [..., latent_dim] of the activations `x` [..., d_in].

    Args:
        architecture: A key of `TENSOR_NAMES`.
        x: Activations in the type of the weights.
        tensors: The weights by SAELens's names.
        config: cfg.json, for `apply_b_dec_to_input` and `k`.
    """
    centred = x - tensors["b_dec"] if config.get("apply_b_dec_to_input", True) else x
    return _ACTIVATIONS[architecture](centred @ tensors["W_enc"], tensors, config)


def unit_decoder(tensors: Tensors) -> dict[str, Tensor]:
    """The same function with decoder rows of norm one, for W_enc, b_enc, W_dec and b_dec.

    SAELens's topk with `rescale_acts_by_decoder_norm` means exactly this: latents are selected
    and returned in units of what they contribute. A decoder row of zeros stays one.
    """
    norms = tensors["W_dec"].norm(dim=1)
    divisors = norms.clamp_min(torch.finfo(norms.dtype).tiny)
    return {
        "W_enc": tensors["W_enc"] * norms,
        "b_enc": tensors["b_enc"] * norms,
        "W_dec": tensors["W_dec"] / divisors.unsqueeze(1),
        "b_dec": tensors["b_dec"],
    }


def _standard(a: Tensor, tensors: Tensors, _config: Config) -> Tensor:
    return torch.relu(a + tensors["b_enc"])


def _gated(a: Tensor, tensors: Tensors, _config: Config) -> Tensor:
    magnitude = torch.relu(a * tensors["r_mag"].exp() + tensors["b_mag"])
    return magnitude * (a + tensors["b_gate"] > 0)


def _jumprelu(a: Tensor, tensors: Tensors, _config: Config) -> Tensor:
    h = a + tensors["b_enc"]
    return torch.relu(h) * (h > tensors["threshold"])


def _topk(a: Tensor, tensors: Tensors, config: Config) -> Tensor:
    h = a + tensors["b_enc"]
    top = torch.topk(h, config["k"], dim=-1, sorted=False)
    return torch.zeros_like(h).scatter_(-1, top.indices, top.values.relu())


_ACTIVATIONS: dict[str, Callable[[Tensor, Tensors, Config], Tensor]] = {
    "standard": _standard,
    "gated": _gated,
    "jumprelu": _jumprelu,
    "topk": _topk,
}
