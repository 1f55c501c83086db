"""The trackers' libraries, each behind the same few calls and raising what it raises."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sae.history import HistoryRow
from sae.trackers import HistorySink, Tracker


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedRun:
    """What a tracker is told of a run."""

    directory: Path
    """The run's folder; local files go there, and its name names the run."""
    settings: Mapping[str, Any]
    """The run's configuration."""
    step: int
    """Steps that earlier processes have done."""
    tracker_id: str | None
    """What the tracker called the run in an earlier process; None in its first one."""


class LibrarySink(HistorySink, Protocol):
    """One library's sink."""

    tracker_id: str | None
    """What the tracker calls the run; None where the run's folder says it."""


class TensorBoardSink:
    """Event files in the run's folder."""

    tracker_id: str | None = None

    def __init__(self, run: TrackedRun) -> None:
        import_module("tensorboard")
        module = import_module("torch.utils.tensorboard")
        # What an earlier process wrote after its last checkpoint is trained again.
        self._writer = module.SummaryWriter(
            str(run.directory / "tensorboard"), purge_step=run.step + 1
        )

    def write(self, row: HistoryRow) -> None:
        """Takes one row."""
        for name, value in _values(row).items():
            self._writer.add_scalar(name, value, row.step)

    def close(self, *, is_complete: bool) -> None:
        """Writes what is buffered."""
        del is_complete
        self._writer.close()


class WandbSink:
    """A run of Weights & Biases; project, account and offline mode are its variables' business."""

    def __init__(self, run: TrackedRun) -> None:
        module = import_module("wandb")
        # Otherwise the runs of a pack, which share a process, would all be the first one's.
        self._run = module.init(
            dir=str(run.directory),
            name=run.directory.name,
            config=dict(run.settings),
            id=run.tracker_id,
            resume="allow" if run.tracker_id else None,
            reinit="create_new",
        )
        self.tracker_id: str | None = self._run.id

    def write(self, row: HistoryRow) -> None:
        """Takes one row."""
        # With a step W&B holds a row back until the next one, unless told that it is whole.
        self._run.log(_values(row), step=row.step, commit=True)

    def close(self, *, is_complete: bool) -> None:
        """Sends what is buffered, and marks a run that did not come to its end as failed."""
        self._run.finish(exit_code=0 if is_complete else 1)


class MlflowSink:
    """A run of MLflow, in an experiment of the study's name, where MLFLOW_TRACKING_URI says."""

    def __init__(self, run: TrackedRun) -> None:
        self._client = import_module("mlflow").MlflowClient()
        self.tracker_id: str | None = run.tracker_id or self._begin(run)
        self._client.update_run(self.tracker_id, status="RUNNING")

    def _begin(self, run: TrackedRun) -> str:
        study = run.directory.parent.name
        known = self._client.get_experiment_by_name(study)
        experiment = known.experiment_id if known else self._client.create_experiment(study)
        begun = self._client.create_run(experiment, run_name=run.directory.name)
        for key, value in run.settings.items():
            self._client.log_param(begun.info.run_id, key, value)
        return str(begun.info.run_id)

    def write(self, row: HistoryRow) -> None:
        """Takes one row."""
        for name, value in _values(row).items():
            self._client.log_metric(self.tracker_id, name, value, step=row.step)

    def close(self, *, is_complete: bool) -> None:
        """Says how the run ended."""
        self._client.set_terminated(self.tracker_id, "FINISHED" if is_complete else "KILLED")


SINKS: dict[Tracker, Callable[[TrackedRun], LibrarySink]] = {
    Tracker.tensorboard: TensorBoardSink,
    Tracker.wandb: WandbSink,
    Tracker.mlflow: MlflowSink,
}


def _values(row: HistoryRow) -> dict[str, float]:
    values = asdict(row)
    del values["step"]
    return values
