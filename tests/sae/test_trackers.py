"""The libraries are extras, so stand-ins with their calls' signatures take their places here."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sae.errors import SaeError
from sae.history import HistoryRow
from sae.trackers import Tracker, open_sink

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


class Calls:
    """Records what the library was asked to do."""

    def __init__(self) -> None:
        self.scalars: dict[str, tuple[float, int]] = {}
        self.closed = False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name] = (value, step)

    def log(self, values: dict[str, float], step: int) -> None:
        self.scalars |= {name: (value, step) for name, value in values.items()}

    def log_metric(self, _run: str, name: str, value: float, step: int) -> None:
        self.scalars[name] = (value, step)

    def close(self, *_: Any) -> None:
        self.closed = True

    finish = set_terminated = close

    def create_experiment(self, _name: str) -> str:
        return "1"

    def create_run(self, _experiment: str, run_name: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def log_param(self, _run: str, key: str, value: Any) -> None:
        self.scalars[key] = (value, -1)


def stand_in(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
    return module


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()

    def give_calls(*_: Any, **__: Any) -> Calls:
        return calls

    def find_nothing(_name: str) -> None:
        return None

    modules = [
        stand_in("tensorboard"),
        stand_in("torch.utils.tensorboard", SummaryWriter=give_calls),
        stand_in("wandb", init=give_calls),
        stand_in("mlflow", MlflowClient=give_calls, get_experiment_by_name=find_nothing),
    ]
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_tracker_member_names_are_what_the_user_types() -> None:
    assert all(member.name == member.value for member in Tracker)


@pytest.mark.parametrize("tracker", [Tracker.tensorboard, Tracker.wandb, Tracker.mlflow])
def test_open_sink_hands_every_column_over_with_its_step(
    tracker: Tracker, calls: Calls, tmp_path: Path
) -> None:
    sink = open_sink(tracker, tmp_path / "study" / "trial_00000", {"seed": 0})
    sink.write(ROW)
    sink.close()
    assert calls.scalars["l0"] == (64.5, 10)
    assert calls.scalars["fvu"] == (0.25, 10)
    assert "step" not in calls.scalars
    assert calls.closed


def test_open_sink_none_writes_nothing(tmp_path: Path) -> None:
    sink = open_sink(Tracker.none, tmp_path, {})
    sink.write(ROW)
    sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tracker", [Tracker.tensorboard, Tracker.wandb, Tracker.mlflow])
def test_open_sink_without_its_library_is_refused(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tracker.value, None)  # import then raises ImportError
    with pytest.raises(SaeError, match=rf"^trainer\.tracker={tracker} must have its library"):
        open_sink(tracker, tmp_path, {})
