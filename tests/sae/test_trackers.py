"""With the real libraries: TensorBoard's files, W&B offline, MLflow in a database."""

import json
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sae import tracker_sinks
from sae.errors import SaeError
from sae.history import HistoryRow
from sae.trackers import TRACKER_FILE, HistorySink, Tracker, open_sink

ROW = HistoryRow(
    step=10,
    learning_rate=1e-3,
    alpha=2.0,
    loss=5.0,
    mse=3.0,
    l1=1.0,
    l0=64.5,
    fvu=0.25,
    dead_fraction_window=0.0,
    seconds=1.5,
)
SETTINGS = {"seed": 0}
# MLflow's tables, of SQLAlchemy's.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
EVERY = [Tracker.tensorboard, Tracker.wandb, Tracker.mlflow]


@pytest.fixture(autouse=True)
def own_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "study" / "trial_00000"
    path.mkdir(parents=True)
    return path


def scalars_of(tracker: Tracker, folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What a tracker holds of the run: (step, value) by column."""
    return {
        Tracker.tensorboard: tensorboard_scalars,
        Tracker.wandb: wandb_scalars,
        Tracker.mlflow: mlflow_scalars,
    }[tracker](folder)


def tensorboard_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    module = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = module.EventAccumulator(str(folder / "tensorboard")).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def wandb_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    messages = import_module("wandb.proto.wandb_internal_pb2")
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in _whole_run(file, messages.Record.FromString):
            for item in record.history.item:
                name = item.key or item.nested_key[0]
                value = float(json.loads(item.value_json))
                found.setdefault(name, []).append((record.history.step.num, value))
    return found


def _whole_run(file: Path, read: Callable[[bytes], Any]) -> list[Any]:
    """A run's records, once its process has written the last one: `finish` does not await it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        records = [read(content) for content in _leveldb_records(file.read_bytes())]
        if records and records[-1].HasField("exit"):
            return records
        time.sleep(0.05)
    raise AssertionError(f"{file} has no end")


def _leveldb_records(content: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, of one block, after W&B's own header."""
    place = 7
    assert len(content) < 32768
    while place + 7 <= len(content):
        _checksum, length, _kind = struct.unpack_from("<IHB", content, place)
        if place + 7 + length > len(content):  # still being written
            return
        yield content[place + 7 : place + 7 + length]
        place += 7 + length


def mlflow_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    client = import_module("mlflow").MlflowClient()
    run = client.get_run(json.loads((folder / TRACKER_FILE).read_text())["mlflow"])
    return {
        name: [
            (each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)
        ]
        for name in run.data.metrics
    }


def test_tracker_member_names_are_what_the_user_types() -> None:
    assert all(member.name == member.value for member in Tracker)


@pytest.mark.parametrize("tracker", EVERY)
def test_open_sink_hands_every_column_over_with_its_step(tracker: Tracker, folder: Path) -> None:
    sink = open_sink(tracker, folder, SETTINGS)
    sink.write(ROW)
    sink.close(is_complete=True)
    found = scalars_of(tracker, folder)
    assert found["l0"] == [(10, 64.5)]
    assert found["fvu"] == [(10, 0.25)]
    assert "step" not in found


@pytest.mark.parametrize("tracker", EVERY)
def test_open_sink_of_a_resumed_run_goes_on_with_the_tracker_s_run(
    tracker: Tracker, folder: Path
) -> None:
    first = open_sink(tracker, folder, SETTINGS)
    first.write(ROW)
    first.close(is_complete=False)
    known = (folder / TRACKER_FILE).read_text()
    second = open_sink(tracker, folder, SETTINGS, step=10)
    second.write(replace(ROW, step=20, l0=60.0))
    second.close(is_complete=True)
    assert (folder / TRACKER_FILE).read_text() == known
    assert scalars_of(tracker, folder)["l0"] == [(10, 64.5), (20, 60.0)]


def test_open_sink_tensorboard_drops_what_is_trained_again(folder: Path) -> None:
    killed = open_sink(Tracker.tensorboard, folder, SETTINGS)
    killed.write(ROW)
    killed.write(replace(ROW, step=20))
    killed.close(is_complete=False)
    resumed = open_sink(Tracker.tensorboard, folder, SETTINGS, step=10)
    resumed.write(replace(ROW, step=20, l0=60.0))
    resumed.close(is_complete=True)
    assert tensorboard_scalars(folder)["l0"] == [(10, 64.5), (20, 60.0)]


@pytest.mark.parametrize("tracker", EVERY)
def test_open_sink_of_two_runs_in_one_process_keeps_them_apart(
    tracker: Tracker, folder: Path
) -> None:
    other = folder.with_name("trial_00001")
    other.mkdir()
    sinks = [open_sink(tracker, place, SETTINGS) for place in (folder, other)]
    sinks[0].write(ROW)
    sinks[0].close(is_complete=True)
    sinks[1].write(replace(ROW, l0=3.0))
    sinks[1].close(is_complete=True)
    assert scalars_of(tracker, folder)["l0"] == [(10, 64.5)]
    assert scalars_of(tracker, other)["l0"] == [(10, 3.0)]


@pytest.mark.parametrize(("is_complete", "status"), [(True, "FINISHED"), (False, "KILLED")])
def test_close_tells_mlflow_how_the_run_ended(
    folder: Path, is_complete: bool, status: str
) -> None:
    open_sink(Tracker.mlflow, folder, SETTINGS).close(is_complete=is_complete)
    [run_id] = json.loads((folder / TRACKER_FILE).read_text()).values()
    assert import_module("mlflow").MlflowClient().get_run(run_id).info.status == status


def test_open_sink_none_writes_nothing(tmp_path: Path) -> None:
    sink = open_sink(Tracker.none, tmp_path, {})
    sink.write(ROW)
    sink.close(is_complete=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tracker", EVERY)
def test_open_sink_without_its_library_is_refused(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tracker.value, None)  # import then raises ImportError
    with pytest.raises(SaeError, match=rf"^trainer\.tracker={tracker} must have its library"):
        open_sink(tracker, tmp_path, {})


def test_open_sink_whose_server_cannot_be_had_is_refused_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at.all")
    with pytest.raises(SaeError) as caught:
        open_sink(Tracker.mlflow, folder, SETTINGS)
    assert str(caught.value).startswith("trainer.tracker=mlflow must open a run, but got: ")
    assert "nowhere" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


class BrokenSink:
    """A library whose server went away."""

    tracker_id: str | None = None

    def __init__(self, _run: object) -> None:
        self.rows = 0

    def write(self, row: HistoryRow) -> None:
        self.rows += 1
        raise ConnectionError(f"no answer at step {row.step}\nat all")

    def close(self, *, is_complete: bool) -> None:
        del is_complete
        raise ConnectionError("still none")


def test_write_a_tracker_that_fails_is_reported_once_and_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sinks: Mapping[Tracker, Any] = {Tracker.wandb: BrokenSink}
    monkeypatch.setattr(tracker_sinks, "SINKS", sinks)
    sink: HistorySink = open_sink(Tracker.wandb, folder, SETTINGS)
    for step in (10, 20, 30):
        sink.write(replace(ROW, step=step))
    sink.close(is_complete=True)
    assert [record.getMessage() for record in caplog.records] == [
        "trainer.tracker=wandb gets no more rows, history.csv has them: "
        "ConnectionError: no answer at step 10 at all"
    ]
