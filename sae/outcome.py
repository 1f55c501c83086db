"""From the state at a run's end to its files and its result."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sae.activations import ActivationStore
from sae.device import with_tokens_that_fit
from sae.evaluation import evaluate, tokens_at_once
from sae.export import save_sae
from sae.health import threshold_travel
from sae.penalties import mean_penalty
from sae.run_state import RunState
from sae.sae_file import load
from sae.trainer_config import Controller
from sae.training_result import TrainingRequest, TrainingResult, TrainingState


def complete_result(
    request: TrainingRequest,
    state: RunState,
    store: ActivationStore,
    folder: Path,
    seconds: Callable[[], float],
) -> TrainingResult:
    """Saves the weights, and measures what was saved.

    Args:
        request: What was asked for.
        state: The state after the last step.
        store: The activations.
        folder: Where the SAE goes.
        seconds: Time of the run so far.
    """
    alpha = state.alpha(state.step)
    save_sae(folder, state.model.inference_weights(), store, _metadata(request, alpha))
    state.release()  # the room is wanted for the held-out tokens
    trainer, trace = request.trainer, state.trace
    device = trace.values.device
    saved, most = load(folder), trainer.held_out_tokens
    metrics, _ = with_tokens_that_fit(
        lambda tokens: evaluate(saved, request.sae, store, most, device, tokens),
        tokens_at_once(saved.latent_dim),
    )
    measured = asdict(metrics)
    penalty = mean_penalty(
        request.sae, measured.pop("penalty"), metrics.l0, request.target_l0_count
    )
    if math.isnan(metrics.l0_se):
        measured["l0_se"] = None
    return TrainingResult(
        **_common(request, state, seconds()),
        state=TrainingState.complete,
        stop_reason=None,
        loss=metrics.mse + alpha * penalty,
        dead_fraction_window=trace.dead_fraction(trainer.dead_window_tokens),
        converged=trace.converged(),
        loss_change=trace.relative_change("loss", 0.1),
        loss_oscillation=trace.oscillation("loss", 0.1),
        threshold_travel=threshold_travel(state.model, trainer),
        **measured,
    )


def incomplete_result(
    request: TrainingRequest,
    state: RunState,
    ended: TrainingState,
    reason: str | None,
    seconds: float,
) -> TrainingResult:
    """The result of a run that saved no weights."""
    return TrainingResult(**_common(request, state, seconds), state=ended, stop_reason=reason)


def _common(request: TrainingRequest, state: RunState, seconds: float) -> dict[str, Any]:
    return {
        "steps_done": state.step,
        "tokens": state.step * request.trainer.batch_size,
        "wall_s": seconds,
        "device": str(state.trace.values.device),
        "alpha_canonical": state.alpha(state.step),
        "micro_batch": int(state.micro_batch),
        "resampled": int(state.resampled),
    }


def _metadata(request: TrainingRequest, alpha: float) -> dict[str, Any]:
    return {
        "training_architecture": request.sae.architecture.value,
        "penalty": request.sae.penalty,
        "alpha_canonical": alpha,
        "alpha_mode": "fixed" if request.trainer.controller is Controller.none else "controlled",
        "target_l0": request.target_l0_count,
        "seed": request.seed,
        "learning_rate": request.trainer.learning_rate,
        "batch_size": request.trainer.batch_size,
        "total_steps": request.trainer.total_steps,
    }
