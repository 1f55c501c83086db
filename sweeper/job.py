"""One training run: configuration in, record out. What Hydra's launchers call for every trial."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.guide_verdict import judge_by_guide
from analysis.records import AlphaMode, State, empty_record, validate_record
from analysis.thresholds import default_thresholds
from analysis.units import ActivationScale, to_canonical
from analysis.verdict import judge
from sae.activations import ActivationStore, open_activations
from sae.activations.outliers import outlier_share
from sae.history import HistoryRow
from sae.packed_training import Training, train_together
from sae.stop_signal import StopSignal
from sae.trainer_config import Controller
from sae.training import OnLog, TrainingRequest, training
from sweeper.errors import SweepError
from sweeper.execution.lease import hold
from sweeper.job_watch import JobWatch
from sweeper.own_trainer import train_with
from sweeper.pruning import PrunedError, pruner_for
from sweeper.record import (
    Ticket,
    config_hash,
    git_sha,
    is_in_band,
    recipe,
    signed_log_error,
    utc_now,
    write_record,
)
from sweeper.reporting import reporter_for
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
        settings.l1_alpha,
        settings.objective,
        activation_scale(store),
        settings.sae.latent_dim,
        penalty=settings.sae.penalty,
    )


def run_trial(
    settings: Settings,
    directory: Path,
    on_log: OnLog | None = None,
    store: ActivationStore | None = None,
) -> dict[str, Any]:
    """Trains one SAE at the settings' `l1_alpha` and writes its record.

    An interrupted run leaves no `result.json`, so that it is continued from its checkpoint. The
    directory is this run's alone while it trains.

    Args:
        settings: The composed configuration, with `l1_alpha` set.
        directory: The trial's directory; `trial.json` in it says which trial this is.
        on_log: Called with every row of `history.csv`.
        store: The activations, where the caller has them open.

    Returns:
        The trial record.

    Raises:
        LeaseHeldError: Another live job has the directory.
        LeaseLostError: The directory was given to another job, or deleted.
    """
    [record] = train_together([trial_in_training(settings, directory, on_log, store)])
    return record


def trial_in_training(
    settings: Settings,
    directory: Path,
    on_log: OnLog | None = None,
    store: ActivationStore | None = None,
    process: StopSignal | None = None,
) -> Training[dict[str, Any]]:
    """As `run_trial`, given one batch after another by `train_together`.

    Args:
        settings: As there.
        directory: As there.
        on_log: As there.
        store: As there.
        process: Set when the process is asked to stop; None: signals are heeded here.
    """
    directory = directory.absolute()  # a trainer of one's own may go to another folder meanwhile
    with hold(directory, Ticket.read(directory).attempt, process) as lease:
        heeding = lease.stop.on_signals() if process is None else nullcontext()
        record = yield from _run(
            settings, directory, lease.stop, on_log or _ignore, store, heeding
        )
        if record["state"] != State.interrupted:
            validate_record(record)
            lease.check()
            write_record(directory, record)
    return record


def _run(
    settings: Settings,
    directory: Path,
    stop: StopSignal,
    on_log: OnLog,
    store: ActivationStore | None,
    heeding: AbstractContextManager[object],
) -> Training[dict[str, Any]]:
    ticket = Ticket.read(directory)
    store = store or open_activations(settings.activations)
    started = utc_now()
    with heeding:
        measured = yield from _watched(settings, store, directory, on_log, stop)
    record = (
        empty_record()
        | ticket.for_record()
        | _asked(settings, store)
        | {"recipe": recipe(settings, apart=ticket.own_columns)}
        | measured
        | _derived(settings, measured)
        | {
            "started": started,
            "finished": utc_now(),
            "config_hash": config_hash(settings),
            "git_sha": git_sha(),
            "dir": directory.name,
        }
    )
    return record | _judged(record, settings.sweep.tolerance)


def _ignore(_: HistoryRow) -> None:
    """Nobody watches."""


def _watched(
    settings: Settings, store: ActivationStore, directory: Path, on_log: OnLog, stop: StopSignal
) -> Training[dict[str, Any]]:
    """Trains with reports to the study, unless the pruner ends the run."""
    ticket = Ticket.read(directory)
    reporter = reporter_for(ticket, directory, settings.trainer.total_steps)
    watch = JobWatch(on_log, reporter, pruner_for(settings, ticket, directory, store.d_in))
    try:
        return (yield from _train(settings, store, directory, watch, stop))
    except PrunedError as pruned:
        return watch.pruned_facts(pruned, directory, settings.trainer.batch_size)
    finally:
        if reporter is not None:
            reporter.close()


def _train(
    settings: Settings, store: ActivationStore, directory: Path, on_log: OnLog, stop: StopSignal
) -> Training[dict[str, Any]]:
    """What a run measured, whoever trains."""
    if settings.sweep.train is not None:
        return train_with(settings.sweep.train, settings, store, directory, on_log, stop)
    request = TrainingRequest(
        sae=settings.sae,
        trainer=settings.trainer,
        alpha_canonical=canonical_alpha(settings, store),
        target_l0_count=settings.target_l0_count,
        seed=settings.seed,
        device=settings.device,
    )
    result = yield from training(request, store, directory, on_log, stop)
    measured = asdict(result) | {"state": result.state.value}
    if request.trainer.controller is not Controller.l0:
        measured["alpha_canonical"] = request.alpha_canonical
    return measured


def _asked(settings: Settings, store: ActivationStore) -> dict[str, Any]:
    return {
        "architecture": settings.sae.architecture.value,
        "penalty": settings.sae.penalty,
        "latent_dim": settings.sae.latent_dim,
        "d_in": store.d_in,
        "l1_alpha": settings.l1_alpha or 0.0,
        "alpha_canonical": canonical_alpha(settings, store),
        "alpha_mode": _alpha_mode(settings).value,
        "target_l0": settings.target_l0,
        "learning_rate": settings.trainer.learning_rate,
        "batch_size": settings.trainer.batch_size,
        "total_steps": settings.trainer.total_steps,
        "seed": settings.seed,
        "activations": store.name,
        "outlier_share": outlier_share(store),
        "objective": settings.objective.name.value,
    }


def _alpha_mode(settings: Settings) -> AlphaMode:
    steered = settings.trainer.controller is Controller.l0
    return AlphaMode.controlled if steered else AlphaMode.fixed


def _derived(settings: Settings, measured: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from a measured L0."""
    l0, alive = measured.get("l0"), measured.get("alive")
    if l0 is None:
        return {}
    error = signed_log_error(l0, settings.target_l0_count)
    return {
        "l0_fraction": l0 / settings.sae.latent_dim,
        "l0_alive_fraction": l0 / alive if alive else None,
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
