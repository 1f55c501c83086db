"""A trainer of one's own, in plain torch, under the sweep.

sae-sweep --multirun sweep.train=examples.own_trainer:train activations=synthetic \
    sae.latent_dim=256 target_l0=12
"""

import torch

from sweeper import TrialConfig

REPORT_EVERY = 20


def train(config: TrialConfig) -> dict[str, float]:
    """Trains a ReLU SAE with torch's own Adam; returns what the sweep needs to know.

    Its loss is this project's canonical one, so that alpha keeps its meaning and the prior its
    worth: the mean over the batch of ||x - x_hat||^2 + alpha * sum_i f_i ||W_dec,i||.
    """
    recipe = config.settings["trainer"]
    torch.manual_seed(config.seed)
    d_in, latent_dim = config.store.d_in, config.latent_dim
    decoder = torch.nn.functional.normalize(torch.randn(latent_dim, d_in), dim=1) * 0.1
    weights = {
        "W_enc": decoder.t().clone().requires_grad_(),
        "b_enc": torch.zeros(latent_dim, requires_grad=True),
        "W_dec": decoder.requires_grad_(),
        "b_dec": torch.zeros(d_in, requires_grad=True),
    }
    optimizer = torch.optim.Adam(weights.values(), lr=recipe["learning_rate"])
    batches = config.store.train_batches(recipe["batch_size"], config.seed)
    for step in range(1, config.total_steps + 1):
        x = next(batches)
        latents, error = forward(weights, x)
        penalty = (latents * weights["W_dec"].norm(dim=1)).sum(dim=1).mean()
        optimizer.zero_grad()
        (error + config.l1_alpha * penalty).backward()
        optimizer.step()
        if step % REPORT_EVERY == 0:
            l0 = (latents > 0).float().sum(dim=1).mean()
            config.report(step=step, l0=l0.item(), fvu=error.item() / d_in)
    return measure(config, weights)


def forward(
    weights: dict[str, torch.Tensor], x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents [batch, latent_dim], and the squared error summed over d_in, mean over tokens."""
    latents = torch.relu((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    output = latents @ weights["W_dec"] + weights["b_dec"]
    return latents, (x - output).square().sum(dim=1).mean()


@torch.no_grad()
def measure(config: TrialConfig, weights: dict[str, torch.Tensor]) -> dict[str, float]:
    """L0, fvu and dead latents on held-out tokens; held-out rows come raw."""
    store = config.store
    firings, error, tokens = torch.zeros(config.latent_dim), 0.0, 0
    for rows, _ in store.held_out_batches(1024):
        latents, batch_error = forward(weights, (rows - store.mean) * store.scale)
        firings += (latents > 0).sum(dim=0)
        error += batch_error.item() * len(rows)
        tokens += len(rows)
    return {
        "l0": firings.sum().item() / tokens,
        "fvu": error / tokens / store.d_in,
        "dead_fraction": (firings == 0).float().mean().item(),
        "held_out_tokens": tokens,
        "steps_done": config.total_steps,
    }
