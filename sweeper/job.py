"""One training run: configuration in, record out. What Hydra's launchers call for every trial."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.guide_verdict import judge_by_guide
from analysis.records import AlphaMode, State, validate_record
from analysis.thresholds import default_thresholds
from analysis.units import ActivationScale, to_canonical
from analysis.verdict import judge
from sae.activations import ActivationStore, open_activations
from sae.history import HistoryRow
from sae.stop_signal import StopSignal
from sae.trainer_config import Controller
from sae.training import TrainingRequest, TrainingResult, train
from sweeper.errors import SweepError
from sweeper.record import (
    Ticket,
    config_hash,
    git_sha,
    is_in_band,
    signed_log_error,
    utc_now,
    write_record,
)
from sweeper.settings import Settings


def activation_scale(store: ActivationStore) -> ActivationScale:
    """The norms of the data, as conversions of alpha need them."""
    return ActivationScale(
        d_in=store.d_in,
        centred_rms_norm=math.sqrt(store.d_in) / store.scale,
        raw_mean_norm=store.raw_mean_norm,
        raw_rms_norm=store.raw_rms_norm,
    )


def canonical_alpha(settings: Settings, store: ActivationStore) -> float:
    """The settings' `l1_alpha` in canonical units; 0 where k sets L0 instead.

    Raises:
        SweepError: There is no `l1_alpha` to convert.
    """
    if settings.sae.architecture.sets_l0:
        return 0.0
    if settings.l1_alpha is None:
        raise SweepError("l1_alpha must be a number here, but got null.")
    return to_canonical(
        settings.l1_alpha, settings.objective, activation_scale(store), settings.sae.latent_dim
    )


def run_trial(
    settings: Settings,
    directory: Path,
    on_log: Callable[[HistoryRow], None] | None = None,
    store: ActivationStore | None = None,
) -> dict[str, Any]:
    """Trains one SAE at the settings' `l1_alpha` and writes its record.

    An interrupted run leaves no `result.json`, so that it is continued from its checkpoint.

    Args:
        settings: The composed configuration, with `l1_alpha` set.
        directory: The trial's directory; `trial.json` in it says which trial this is.
        on_log: Called with every row of `history.csv`.
        store: The activations, where the caller has them open.

    Returns:
        The trial record.
    """
    ticket = Ticket.read(directory)
    store = store or open_activations(settings.activations)
    started = utc_now()
    request = TrainingRequest(
        sae=settings.sae,
        trainer=settings.trainer,
        alpha_canonical=canonical_alpha(settings, store),
        target_l0_count=settings.target_l0_count,
        seed=settings.seed,
        device=settings.device,
    )
    with StopSignal().on_signals() as stop:
        result = train(request, store, directory, on_log, stop)
    record = (
        asdict(ticket)
        | _asked(settings, store)
        | _measured(settings, result)
        | (
            {}
            if request.trainer.controller is Controller.l0
            else {"alpha_canonical": request.alpha_canonical}
        )
        | {
            "started": started,
            "finished": utc_now(),
            "config_hash": config_hash(settings),
            "git_sha": git_sha(),
            "dir": directory.name,
        }
    )
    record |= _judged(record, settings.sweep.tolerance)
    if record["state"] != State.interrupted:
        validate_record(record)
        write_record(directory, record)
    return record


def _asked(settings: Settings, store: ActivationStore) -> dict[str, Any]:
    return {
        "architecture": settings.sae.architecture.value,
        "penalty": settings.sae.penalty,
        "latent_dim": settings.sae.latent_dim,
        "d_in": store.d_in,
        "l1_alpha": settings.l1_alpha or 0.0,
        "alpha_mode": _alpha_mode(settings).value,
        "target_l0": settings.target_l0,
        "learning_rate": settings.trainer.learning_rate,
        "batch_size": settings.trainer.batch_size,
        "total_steps": settings.trainer.total_steps,
        "seed": settings.seed,
        "activations": store.name,
        "objective": settings.objective.name.value,
    }


def _alpha_mode(settings: Settings) -> AlphaMode:
    steered = settings.trainer.controller is Controller.l0
    return AlphaMode.controlled if steered else AlphaMode.fixed


def _measured(settings: Settings, result: TrainingResult) -> dict[str, Any]:
    record = asdict(result) | {"state": result.state.value}
    if result.l0 is None:
        return record
    error = signed_log_error(result.l0, settings.target_l0_count)
    return record | {
        "l0_fraction": result.l0 / settings.sae.latent_dim,
        "l0_alive_fraction": result.l0 / result.alive if result.alive else None,
        "l0_log_error": error,
        "in_band": is_in_band(error, settings.sweep.tolerance),
    }


def _judged(record: dict[str, Any], tolerance: float) -> dict[str, Any]:
    own = judge(record, default_thresholds().with_tolerance(tolerance))
    return {
        "verdict": own.level.value,
        "verdict_reasons": list(own.reasons),
        "guide_verdict": judge_by_guide(record).level.value,
    }
