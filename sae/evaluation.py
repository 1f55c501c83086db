"""Held-out measurements, in float32, from the weights as they were saved.

Shape letters: B tokens of a batch, D d_in, F latent_dim.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.architectures.config import SaeConfig
from sae.device import widest_float
from sae.dictionary_metrics import (
    density_histogram,
    mean_nearest_cosine,
    recovery,
    row_norms,
)
from sae.held_out_moments import CentredMoments, power_of_two_near
from sae.penalties import penalty_sum
from sae.sae_file import Sae

MOST_TOKENS_AT_ONCE, FEWEST_TOKENS_AT_ONCE = 2048, 64
LATENTS_AT_ONCE = MOST_TOKENS_AT_ONCE * 4096
"""Latents of all tokens at once: wider SAEs take fewer tokens, so that measuring them needs no
more memory than training them."""


def tokens_at_once(latent_dim: int) -> int:
    """Held-out tokens that are encoded together."""
    return max(FEWEST_TOKENS_AT_ONCE, min(MOST_TOKENS_AT_ONCE, LATENTS_AT_ONCE // latent_dim))


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutMetrics:
    """What a trained SAE does on tokens that it never saw; canonical units."""

    l0: float
    """Latents above zero, mean per token."""
    l0_se: float
    """Standard error of `l0`, robust to tokens of one document being alike."""
    fvu: float
    """sum ||x - x_hat||^2 / sum ||x - mean x||^2."""
    mse: float
    """Squared error summed over d_in, mean per token."""
    l1: float
    """sum_i f_i ||W_dec,i||, mean per token."""
    penalty: float
    """What alpha multiplies, mean per token."""
    dead_fraction: float
    """Part of the latents that fired on none of the tokens."""
    alive: int
    """Latents that fired."""
    held_out_tokens: int
    """Tokens measured."""
    density: Mapping[str, int]
    """Latents by firing frequency; see `sae.dictionary_metrics`."""
    decoder_cosine: float | None
    """Mean over latents of the largest cosine of its decoder row with another."""
    dictionary_cosine: float | None = None
    """Synthetic activations: mean over the true features of the largest cosine with a row."""
    dictionary_recall: float | None = None
    """Synthetic activations: part of the true features with a cosine of at least 0.9."""


def evaluate(
    sae: Sae,
    config: SaeConfig,
    store: ActivationStore,
    max_tokens: int,
    device: torch.device,
    at_once: int | None = None,
) -> HeldOutMetrics:
    """Measures `sae` on raw held-out activations.

    Args:
        sae: As loaded from its file.
        config: What was trained, for its penalty.
        store: Gives the tokens, and the scale for canonical units.
        max_tokens: At most so many tokens.
        device: Where to compute.
        at_once: Tokens that memory has to hold; None: `tokens_at_once`.

    Raises:
        SaeError: The tokens are all alike, so that there is no fraction of their variance.
    """
    sae = sae.to(device)
    unit = power_of_two_near(store.scale)
    norms_F = row_norms(sae.tensors["W_dec"], unit) * store.scale
    firings_F = torch.zeros(sae.latent_dim, device=device)
    mean_D = store.mean.to(device)
    error, l1, penalty = 0.0, 0.0, 0.0
    widest = widest_float(device)
    moments = CentredMoments(store.d_in, device)
    token_l0: list[Tensor] = []
    documents: list[Tensor] = []
    at_once = at_once or tokens_at_once(sae.latent_dim)
    for raw_BD, document_B in store.held_out_batches(at_once, max_tokens):
        x_BD = raw_BD.to(device)
        f_BF = sae.encode(x_BD)
        error += float((sae.decode(f_BF) - x_BD).to(widest).square().sum())
        l1 += float((f_BF @ norms_F).to(widest).sum())
        penalty += float(penalty_sum(config, sae, x_BD, f_BF, norms_F))
        moments.add((x_BD - mean_D) * unit)
        fired_BF = torch.sign(f_BF)
        firings_F += fired_BF.sum(0)
        token_l0.append(fired_BF.sum(1).cpu())
        documents.append(document_B.cpu())
    l0_B = torch.cat(token_l0).double()
    tokens = l0_B.numel()
    variance = moments.require_variance(store.name)
    alive = int((firings_F > 0).sum())
    W_dec, features = sae.tensors["W_dec"], store.dictionary
    cosine, recall = (
        (None, None) if features is None else recovery(W_dec, features.to(device), unit)
    )
    return HeldOutMetrics(
        l0=float(l0_B.mean()),
        l0_se=clustered_standard_error(l0_B, torch.cat(documents)),
        fvu=error * unit**2 / variance,
        mse=error / tokens * store.scale**2,
        l1=l1 / tokens,
        penalty=penalty / tokens,
        dead_fraction=1 - alive / sae.latent_dim,
        alive=alive,
        held_out_tokens=tokens,
        density=density_histogram(firings_F, tokens),
        decoder_cosine=mean_nearest_cosine(W_dec, unit),
        dictionary_cosine=cosine,
        dictionary_recall=recall,
    )


def clustered_standard_error(values: Tensor, clusters: Tensor) -> float:
    """Standard error of the mean where values within a cluster are correlated.

    The usual sandwich with the factor G / (G - 1) for G clusters (Liang and Zeger 1986).

    Args:
        values: Float64, one per token.
        clusters: Integers of the same length, equal within a cluster.

    Returns:
        The standard error; NaN with fewer than two clusters, where it cannot be known.
    """
    _, index = torch.unique(clusters, return_inverse=True)
    n_clusters = int(index.max()) + 1
    if n_clusters < 2:
        return float("nan")
    sums = torch.zeros(n_clusters, dtype=values.dtype)
    sums.index_add_(0, index, values - values.mean())
    variance = n_clusters / (n_clusters - 1) * sums.square().sum() / values.numel() ** 2
    return float(variance.sqrt())
