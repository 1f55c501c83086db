"""Activations drawn from a known sparse dictionary, for tests and recovery metrics.

Shapes: N tokens, K active features of a token, F = n_features, D = d_in.
"""

import dataclasses
import hashlib
import json

import torch
from torch import Tensor

from sae.activations.config import SyntheticConfig
from sae.activations.rows import Rows
from sae.activations.statistics import StatisticsAccumulator
from sae.activations.store import ActivationStore
from sae.device import memory_errors_named
from sae.seeding import generator

# Assumption: tokens are drawn independently, so the size of a document changes nothing but the
# number of groups that a standard error by document sees.
TOKENS_PER_DOCUMENT = 32


def synthetic_activations(config: SyntheticConfig) -> ActivationStore:
    """Draws tokens: x = mean + sum of `active_features` features + noise.

    The dictionary's rows are uniform on the unit sphere. The active features of a token are
    drawn without replacement, their coefficients from the exponential distribution of mean 1, so
    that every feature has a few strong and many weak occurrences, as in the toy models of
    superposition of Elhage et al. (2022).

    Args:
        config: Sizes, noise and seed.

    Returns:
        A store in memory whose `dictionary` holds the true features.

    Raises:
        MemoryTooSmallError: The memory does not suffice.
    """
    sizes = {
        f"activations.synthetic.{key}": getattr(config, key)
        for key in ("d_in", "n_features", "n_tokens", "held_out_tokens")
    }
    with memory_errors_named(sizes, torch.device("cpu")):
        return _store(config)


def _store(config: SyntheticConfig) -> ActivationStore:
    dictionary_FD = torch.randn(
        config.n_features, config.d_in, generator=generator(config.seed, "synthetic/dictionary")
    )
    dictionary_FD /= dictionary_FD.norm(dim=1, keepdim=True)
    tokens_ND = _draw(config, dictionary_FD)
    documents_N = torch.arange(len(tokens_ND)) // TOKENS_PER_DOCUMENT
    # Held-out tokens begin a new document of their own.
    documents_N[config.n_tokens :] = (
        documents_N[config.n_tokens - 1]
        + 1
        + torch.arange(config.held_out_tokens) // TOKENS_PER_DOCUMENT
    )
    train_ND, held_out_ND = tokens_ND.split([config.n_tokens, config.held_out_tokens])
    train_documents, held_out_documents = documents_N.split([len(train_ND), len(held_out_ND)])
    accumulator = StatisticsAccumulator(config.d_in)
    accumulator.update(train_ND)
    description = {
        "model_name": "synthetic",
        "hook_name": "synthetic",
        "layer": 0,
        "dataset_path": "synthetic",
        **dataclasses.asdict(config),
    }
    canonical = json.dumps(description, sort_keys=True).encode()
    return ActivationStore(
        name=f"synthetic {config.d_in}d, {config.n_features} features",
        description=description,
        fingerprint=hashlib.sha256(canonical).hexdigest(),
        statistics=accumulator.result(),
        train=Rows([train_ND], [train_documents]),
        held_out=Rows([held_out_ND], [held_out_documents]),
        dictionary=dictionary_FD,
    )


def _draw(config: SyntheticConfig, dictionary_FD: Tensor) -> Tensor:
    """Training tokens, then held-out ones: float32 [n_tokens + held_out_tokens, d_in]."""
    tokens = config.n_tokens + config.held_out_tokens
    draw = generator(config.seed, "synthetic/coefficients")
    coefficients_NK = torch.empty(tokens, config.active_features).exponential_(generator=draw)
    keys_NF = torch.rand(tokens, config.n_features, generator=draw)
    features_NK = keys_NF.topk(config.active_features, dim=1, sorted=False).indices
    tokens_ND = torch.nn.functional.embedding_bag(
        features_NK, dictionary_FD, per_sample_weights=coefficients_NK, mode="sum"
    )
    noise = generator(config.seed, "synthetic/noise")
    tokens_ND += config.noise * torch.randn(tokens, config.d_in, generator=noise)
    mean_D = torch.randn(config.d_in, generator=generator(config.seed, "synthetic/mean"))
    return tokens_ND + mean_D * (config.mean_norm / mean_D.norm())
