"""Sends the rows of history.csv to an experiment tracker as well.

history.csv is always written; a tracker is a second reader behind one small protocol. Each
library is an extra and is imported only when it is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from sae.errors import SaeError
from sae.history import HistoryRow


class Tracker(StrEnum):
    """The trackers that can be asked for."""

    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


class HistorySink(Protocol):
    """Where rows go."""

    def write(self, row: HistoryRow) -> None:
        """Takes one row."""
        ...

    def close(self) -> None:
        """Hands over what is buffered; nothing is written afterwards."""
        ...


def open_sink(tracker: Tracker, directory: Path, settings: Mapping[str, Any]) -> HistorySink:
    """The sink of that name for one run.

    Args:
        tracker: Which.
        directory: The run's folder; local files go there, and its name names the run.
        settings: The run's configuration, recorded where the tracker has a place for it.

    Raises:
        SaeError: The library is not installed.
    """
    return _SINKS[tracker](directory, settings)


class _NoSink:
    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        del directory, settings

    def write(self, row: HistoryRow) -> None:
        del row

    def close(self) -> None:
        return


class _TensorBoardSink:
    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        del settings
        _library("tensorboard", Tracker.tensorboard)
        module = _library("torch.utils.tensorboard", Tracker.tensorboard)
        self._writer = module.SummaryWriter(str(directory / "tensorboard"))

    def write(self, row: HistoryRow) -> None:
        for name, value in _values(row).items():
            self._writer.add_scalar(name, value, row.step)

    def close(self) -> None:
        self._writer.close()


class _WandbSink:
    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        module = _library("wandb", Tracker.wandb)
        # The project, the account and offline mode come from W&B's own environment variables.
        self._run = module.init(dir=str(directory), name=directory.name, config=dict(settings))

    def write(self, row: HistoryRow) -> None:
        self._run.log(_values(row), step=row.step)

    def close(self) -> None:
        self._run.finish()


class _MlflowSink:
    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        module = _library("mlflow", Tracker.mlflow)
        # Where it goes is MLFLOW_TRACKING_URI's business.
        self._client = module.MlflowClient()
        study = directory.parent.name
        known = module.get_experiment_by_name(study)
        experiment = known.experiment_id if known else self._client.create_experiment(study)
        run = self._client.create_run(experiment, run_name=directory.name)
        self._run_id = run.info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run_id, key, value)

    def write(self, row: HistoryRow) -> None:
        for name, value in _values(row).items():
            self._client.log_metric(self._run_id, name, value, step=row.step)

    def close(self) -> None:
        self._client.set_terminated(self._run_id)


_SINKS: dict[Tracker, Callable[[Path, Mapping[str, Any]], HistorySink]] = {
    Tracker.none: _NoSink,
    Tracker.tensorboard: _TensorBoardSink,
    Tracker.wandb: _WandbSink,
    Tracker.mlflow: _MlflowSink,
}


def _values(row: HistoryRow) -> dict[str, float]:
    values = asdict(row)
    del values["step"]
    return values


def _library(name: str, tracker: Tracker) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise SaeError(
            f"trainer.tracker={tracker} must have its library installed "
            f"(pip install 'sae-sweep[trackers]'), but got: {error}."
        ) from error
