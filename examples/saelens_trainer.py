"""SAELens's real trainer under the sweep: alpha found here is the l1_coefficient to paste there.

TQDM_DISABLE=1 .venv-interop/bin/python -m sweeper --multirun \
    sweep.train=examples.saelens_trainer:train objective=saelens sae.latent_dim=512 target_l0=32

sae-lens pins versions of its own, so `make interop` gives it an environment of its own.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch

from sweeper import TrialConfig

REPORT_EVERY = 50
"""Steps."""
NORM_BATCHES = 100
"""Batches from which SAELens estimates the scale of the activations."""


def train(config: TrialConfig) -> dict[str, Any]:
    """Runs SAELens's `SAETrainer.fit` at the trial's alpha; weights go into its folder."""
    library = import_module("sae_lens")
    recipe = config.settings["trainer"]
    torch.manual_seed(config.seed)
    sae = library.StandardTrainingSAE(
        library.StandardTrainingSAEConfig(
            d_in=config.store.d_in,
            d_sae=config.latent_dim,
            l1_coefficient=config.l1_alpha,
            l1_warm_up_steps=config.total_steps // 3,
            normalize_activations="expected_average_only_in",
        )
    )
    settings = import_module("sae_lens.config").SAETrainerConfig(
        total_training_samples=recipe["batch_size"] * config.total_steps,
        train_batch_size_samples=recipe["batch_size"],
        lr=recipe["learning_rate"],
        lr_end=recipe["learning_rate"],
        lr_warm_up_steps=config.total_steps // 6,
        lr_decay_steps=config.total_steps // 5,
        n_batches_for_norm_estimate=NORM_BATCHES,
    )
    trained = library.SAETrainer(cfg=settings, sae=sae, data_provider=batches(config, sae)).fit()
    trained.save_inference_model(str(config.directory / "sae"))
    return {**measure(config, trained), "steps_done": config.total_steps}


def batches(config: TrialConfig, sae: Any) -> Iterator[torch.Tensor]:
    """Raw activations; every 50th training batch is first looked at, and what fires reported."""
    store = config.store
    stream = store.train_batches(config.settings["trainer"]["batch_size"], config.seed)
    for number, x in enumerate(stream, start=1 - NORM_BATCHES):
        raw = x.div_(store.scale).add_(store.mean)
        if number > 0 and number % REPORT_EVERY == 0:
            scaled = raw * sae_scale(config)
            with torch.no_grad():
                l0 = (sae.encode(scaled) > 0).float().sum(dim=1).mean().item()
            config.report(step=number, l0=l0)
        yield raw


def sae_scale(config: TrialConfig) -> float:
    """What SAELens multiplies raw activations with while it trains, from all tokens."""
    return config.store.d_in**0.5 / config.store.raw_mean_norm


@torch.no_grad()
def measure(config: TrialConfig, sae: Any) -> dict[str, float]:
    """L0 and fvu of the trained SAE on held-out tokens, its scaling folded in by `fit`."""
    store = config.store
    firings, error, variance, tokens = torch.zeros(config.latent_dim), 0.0, 0.0, 0
    for rows, _ in store.held_out_batches(1024, config.settings["trainer"]["held_out_tokens"]):
        latents = sae.encode(rows)
        firings += (latents > 0).sum(dim=0)
        error += (rows - sae.decode(latents)).square().sum().item()
        variance += (rows - store.mean).square().sum().item()
        tokens += len(rows)
    return {
        "l0": firings.sum().item() / tokens,
        "fvu": error / variance,
        "dead_fraction": (firings == 0).float().mean().item(),
        "held_out_tokens": tokens,
    }
