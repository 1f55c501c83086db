"""Finding what makes going on with a run pointless."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from sae.architectures.base import StepStatistics, TrainableSae
from sae.architectures.jumprelu import JumpReluSae
from sae.recipe import full_strength_from, learning_rate_at
from sae.trace import Trace
from sae.trainer_config import TrainerConfig

WINDOW = 0.05
"""Part of the run whose mean is judged, so that no single batch stops a run."""
DIVERGED_FVU = 2.0
"""Twice the error of predicting the mean; assumption: no run comes back from there."""
COLLAPSED_FVU = 0.99
"""As good as predicting the mean."""
STILL_FALLING = 0.999
"""An error that fell by more than this factor between two windows is still being learnt."""


def non_finite_tensor(statistics: StepStatistics, gradients: Mapping[str, Tensor]) -> str | None:
    """Names what is NaN or infinite in a step, before the optimizer spreads it.

    Only the loss and the biases' gradients are read: those are sums over the latents' gradients,
    so a NaN anywhere shows in them. On the CPU that costs microseconds; elsewhere it waits for
    the device.

    Args:
        statistics: The step's statistics.
        gradients: By the parameters' names.

    Returns:
        "loss" or "the gradient of W_enc", say; None where all is finite.
    """
    vectors = [value.sum() for value in gradients.values() if value.dim() == 1]
    # Copied together, so that another device than the CPU is waited for once.
    sums = torch.stack([statistics.loss.float(), *vectors]).tolist()
    if all(math.isfinite(value) for value in sums):
        return None
    if not math.isfinite(float(statistics.loss)):
        return "the loss"
    found = [name for name, value in gradients.items() if not value.isfinite().all()]
    return f"the gradient of {found[0]}" if found else "a gradient's sum"


def reason_to_stop(trace: Trace, steps_done: int, trainer: TrainerConfig, d_in: int) -> str | None:
    """Says why a run that is past its warm-ups cannot become useful any more.

    Args:
        trace: What the steps so far measured.
        steps_done: How many they are.
        trainer: The recipe.
        d_in: The variance of canonical activations.

    Returns:
        "diverged ..." where the error is far above that of predicting the mean; "collapsed ..."
        where it is no better and no longer falls; None for any other run.
    """
    window = max(1, round(WINDOW * trainer.total_steps))
    if steps_done < full_strength_from(trainer) + 2 * window:
        return None
    late = trace.mean(steps_done - window, steps_done)
    early = trace.mean(steps_done - 2 * window, steps_done - window)
    fvu = late["mse"] / d_in
    if fvu > DIVERGED_FVU:
        return f"diverged by step {steps_done}: fvu {fvu:.3g}, L0 {late['l0']:.3g}"
    if fvu > COLLAPSED_FVU and late["mse"] > STILL_FALLING * early["mse"]:
        return f"collapsed by step {steps_done}: fvu {fvu:.3g}, L0 {late['l0']:.3g}"
    return None


def threshold_travel(model: TrainableSae, trainer: TrainerConfig) -> float | None:
    """How far JumpReLU's thresholds moved, against one learning rate a step.

    Adam moves a parameter whose gradient keeps its sign by about its learning rate a step, and by
    somewhat more where the gradient grows (Kingma and Ba 2014, section 2.1: at most
    (1 - beta1) / sqrt(1 - beta2) times the rate, 3.2 here), so that the quotient may exceed 1.
    Where it is large the rate decides how far the thresholds rise and not alpha (SAELens issue
    719).

    Args:
        model: At the end of its training.
        trainer: The recipe.

    Returns:
        The mean distance of the thresholds from their start over the sum of their learning rates;
        None for other architectures.
    """
    if not isinstance(model, JumpReluSae):
        return None
    config = model.config.jumprelu
    moved = (model.parameters["threshold"] - config.initial_threshold).abs().mean()
    rates = sum(learning_rate_at(step, trainer) for step in range(trainer.total_steps))
    return float(moved) / (rates * config.threshold_rate_factor)
