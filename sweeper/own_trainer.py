"""Anybody's trainer under the sweep: `sweep.train=package.module:function`.

The function gets one `TrialConfig` and returns a mapping with at least `l0` and `fvu`.
"""

import importlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from analysis.errors import AnalysisError
from analysis.records import COLUMN, WHOLE_LIMIT, State, validate_record
from sae.activations import ActivationStore
from sae.history import HistoryFile, HistoryRow
from sae.stop_signal import StopSignal
from sweeper.errors import SweepError
from sweeper.settings import Settings, to_plain
from sweeper.texts import writable

Trainer = Callable[["TrialConfig"], Mapping[str, Any]]
"""Trains one SAE and answers with what it measured."""

MEASURED = frozenset(
    {
        *("l0", "l0_se", "fvu", "mse", "l1", "loss", "dead_fraction", "dead_fraction_window"),
        *("alive", "held_out_tokens", "converged", "steps_done", "tokens", "device"),
        *("activations", "architecture", "penalty", "state", "stop_reason"),
    }
)
"""Columns of the record that a trainer may fill; the others are the sweep's own."""


class RunStoppedError(Exception):
    """Raised by `TrialConfig.report` when the sweep is asked to stop; let it pass."""


class _Log:
    """history.csv; a resumed run drops the rows after the step where it goes on."""

    def __init__(self, directory: Path) -> None:
        self.started = time.monotonic()
        self._path = directory / "history.csv"
        self._file: HistoryFile | None = None

    def append(self, row: HistoryRow) -> None:
        self._file = self._file or HistoryFile(self._path, row.step - 1)
        self._file.append(row)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig:
    """What a trainer of one's own is told about the SAE that it shall train."""

    l1_alpha: float
    """The sparsity coefficient to train with, in the units of `objective=`."""
    latent_dim: int
    """Width."""
    target_l0: float
    """Active latents wanted, as a count."""
    seed: int
    """Of everything random."""
    total_steps: int
    """The budget: `trainer.total_steps`."""
    directory: Path
    """The trial's folder. A run that was killed is called again with the same one, so that it may
    go on from a checkpoint in it; weights in `directory / "sae"` obey `sweep.keep`."""
    settings: Mapping[str, Any]
    """The whole composed configuration as plain values, such as settings["trainer"]."""
    store: ActivationStore = field(repr=False)
    """The activations of `activations=`, with `train_batches` and `held_out_batches`."""
    on_log: Callable[[HistoryRow], None] = field(repr=False)
    stop: StopSignal = field(repr=False)
    log: _Log = field(repr=False)

    def report(self, *, step: int, l0: float, fvu: float = math.nan) -> None:
        """Says how the run goes: shown, kept in history.csv, and what pruning is decided by.

        Args:
            step: Steps done; before the first, nothing is known that could be kept.
            l0: Mean active latents per token, of the last batches.
            fvu: Fraction of variance unexplained, where it is known.

        Raises:
            RunStoppedError: The sweep was asked to stop.
            PrunedError: The pruner ends this run.
        """
        if step >= 1:
            self._keep(step, l0, fvu)
        if self.stop.requested:
            raise RunStoppedError(f"stopped by {self.stop.reason or 'request'}")

    def _keep(self, step: int, l0: float, fvu: float) -> None:
        unknown = math.nan
        row = HistoryRow(
            step=step,
            learning_rate=unknown,
            alpha=unknown,
            loss=unknown,
            mse=unknown,
            l1=unknown,
            l0=l0,
            fvu=fvu,
            dead_fraction_window=unknown,
            seconds=round(time.monotonic() - self.log.started, 3),
        )
        self.log.append(row)
        self.on_log(row)


def load_trainer(path: str) -> Trainer:
    """The function that `sweep.train` names; modules of the working directory are found too.

    Args:
        path: `package.module:function`, checked by `SweepConfig`.

    Raises:
        SweepError: The module cannot be imported, or has no such function.
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise SweepError(
            f"sweep.train must name a module that can be imported, but {module_name!r} gave "
            f"{type(error).__name__}: {error}."
        ) from None
    function = getattr(module, name, None)
    if not callable(function):
        found = "nothing" if function is None else f"a {type(function).__name__}"
        raise SweepError(
            f"sweep.train must name a function of {module_name!r}, but {name!r} is {found} there."
        )
    return cast("Trainer", function)


def train_with(
    path: str,
    settings: Settings,
    store: ActivationStore,
    directory: Path,
    on_log: Callable[[HistoryRow], None],
    stop: StopSignal,
) -> dict[str, Any]:
    """Trains one SAE with the user's function.

    Args:
        path: `sweep.train`.
        settings: The composed configuration, `l1_alpha` set.
        store: Its activations.
        directory: The trial's folder, an absolute path.
        on_log: Called with every report.
        stop: Makes the next report raise.

    Returns:
        What of the record the function measured, checked, with times and state.

    Raises:
        SweepError: The function is not there, or its answer breaks a rule.
    """
    trainer = load_trainer(path)
    directory.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    config = TrialConfig(
        l1_alpha=settings.l1_alpha or 0.0,
        latent_dim=settings.sae.latent_dim,
        target_l0=settings.target_l0_count,
        seed=settings.seed,
        total_steps=settings.trainer.total_steps,
        directory=directory,
        settings=cast("dict[str, Any]", to_plain(settings)),
        store=store,
        on_log=on_log,
        stop=stop,
        log=_Log(directory),
    )
    measured: dict[str, Any]
    try:
        # Whoever goes to another directory is brought back, since paths of the study start here.
        with chdir("."):
            answer = trainer(config)
        measured = checked_result(path, answer, settings.sae.latent_dim)
    except SystemExit as left:
        raise RuntimeError(f"the trainer called sys.exit({left.code!r})") from left
    except RunStoppedError as stopped:
        measured = {"state": State.interrupted.value, "stop_reason": str(stopped)}
    if measured["state"] == State.complete:
        measured.setdefault("steps_done", config.total_steps)
    return measured | {"wall_s": time.monotonic() - started}


def checked_result(path: str, result: object, latent_dim: int) -> dict[str, Any]:
    """The answer of a user's trainer, with state, held against the rules of the record.

    Args:
        path: `sweep.train`, for the error line.
        result: What the function returned.
        latent_dim: L0 cannot be above it.

    Raises:
        SweepError: It is no mapping, lacks `l0` or `fvu`, holds what no run can measure, or names
            a column that is the sweep's own. Other numbers that are not finite are left out.
    """
    where = f"sweep.train={path}"
    if not isinstance(result, Mapping):
        raise SweepError(f"{where} must return a mapping, but got {type(result).__name__}.")
    found: dict[str, Any] = {}
    for name, value in cast("Mapping[Any, Any]", result).items():
        key = writable(str(name)).strip()  # as tables are read
        if key in found:
            raise SweepError(f"{where} must return every value once, but got {key!r} twice.")
        found[key] = _plain(value)
    for key in found.keys() & (COLUMN.keys() - MEASURED):
        raise SweepError(f"{where} must not return {key!r}, which the sweep itself records.")
    for key, value in found.items():
        if not isinstance(value, int | float | str | None):
            raise SweepError(
                f"{where} must return plain values, but {key!r} must be a number, a text or None "
                f"and is a {type(value).__name__}."
            )
        if isinstance(value, int) and not -WHOLE_LIMIT < value < WHOLE_LIMIT:
            raise SweepError(
                f"{where} must return whole numbers between -2^63 and 2^63, but got {key!r} with "
                f"{value.bit_length()} bits."
            )
    state = found.get("state", State.complete.value)
    if state not in (State.complete, State.diverged):
        raise SweepError(
            f"{where} must return a state of complete or diverged, but got {state!r}."
        )
    if state == State.complete:
        _check_number(where, found, "l0", latent_dim)
        _check_number(where, found, "fvu", math.inf)
    measured = {key: value for key, value in found.items() if not _is_unknown(value)}
    measured["state"] = state
    measured.setdefault("alive", _alive(measured, latent_dim))
    _check_record(where, measured)
    return measured


def _is_unknown(value: Any) -> bool:
    """A loss that was not computed is NaN in many a trainer; the record has no word for it."""
    return isinstance(value, float) and not math.isfinite(value)


def _check_record(where: str, measured: Mapping[str, Any]) -> None:
    """Raises a SweepError that names the trainer where a column holds what it cannot."""
    try:  # as of a run that diverged, since what the sweep itself records is not there yet
        validate_record({**measured, "state": State.diverged.value})
    except AnalysisError as error:
        raise SweepError(f"{where} must return what a record can hold: {error}") from None


def _check_number(where: str, found: Mapping[str, Any], key: str, high: float) -> None:
    value = found.get(key)
    if value is None:
        raise SweepError(f"{where} must return {key!r}, but got {', '.join(found) or 'nothing'}.")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and 0 <= value <= high):
        rule = "finite and at least 0" if high == math.inf else f"finite and from 0 to {high:g}"
        raise SweepError(f"{where} must return a {key!r} that is {rule}, but got {value!r}.")


def _plain(value: Any) -> Any:
    """Numbers of torch and numpy as Python's own, which JSON can hold, and texts as files can."""
    is_scalar = hasattr(value, "item") and getattr(value, "ndim", None) == 0
    plain = value.item() if is_scalar else value
    return writable(plain) if isinstance(plain, str) else plain


def _alive(found: Mapping[str, Any], latent_dim: int) -> float | None:
    dead = found.get("dead_fraction")
    return latent_dim * (1 - dead) if isinstance(dead, float) else None
