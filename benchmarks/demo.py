"""The demo's activations, as batches in our units and as the model gives them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from analysis.units import ActivationScale
from sae.activations import ActivationsConfig, ActivationStore, open_activations
from sae.architectures.base import InferenceWeights
from sae.architectures.config import SaeConfig
from sae.evaluation import evaluate
from sae.export import fold
from sae.sae_file import Sae

HELD_OUT_TOKENS = 20_000
"""Tokens that every benchmark measures L0 and fvu on."""


def demo_store(layer: int) -> ActivationStore:
    """all-MiniLM-L6-v2 over CPython's documentation; extracted first where the cache is empty."""
    return open_activations(ActivationsConfig(layer=layer))


def raw_batches(store: ActivationStore, batch_size: int, seed: int) -> Iterator[Tensor]:
    """The rows of `store.train_batches`, in the same order, but neither centred nor scaled."""
    for x_BD in store.train_batches(batch_size, seed):
        yield x_BD.div_(store.scale).add_(store.mean)


def activation_scale(store: ActivationStore) -> ActivationScale:
    """The norms that conversions of alpha need."""
    return ActivationScale(
        d_in=store.d_in,
        centred_rms_norm=store.d_in**0.5 / store.scale,
        raw_mean_norm=store.raw_mean_norm,
        raw_rms_norm=store.raw_rms_norm,
    )


def for_raw_rows(canonical: Sae, store: ActivationStore) -> Sae:
    """An SAE that was trained on canonical batches, with mean and scale folded in."""
    weights = InferenceWeights(
        architecture=canonical.architecture, tensors=dict(canonical.tensors), extra={}
    )
    return Sae(
        architecture=canonical.architecture,
        d_in=canonical.d_in,
        latent_dim=canonical.latent_dim,
        tensors=fold(weights, store.mean, store.scale),
        config=canonical.config,
    )


def held_out(trained: Sae, store: ActivationStore) -> tuple[float, float]:
    """L0 and fvu of an SAE for raw activations, whoever trained it."""
    unused_penalty = SaeConfig(latent_dim=trained.latent_dim)
    metrics = evaluate(trained, unused_penalty, store, HELD_OUT_TOKENS, torch.device("cpu"))
    return metrics.l0, metrics.fvu
