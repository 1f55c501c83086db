import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sae.history import HistoryFile, HistoryRow
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell, make_cells
from sweeper.live_table import Running, live_table
from sweeper.record import Ticket
from sweeper.settings import Settings
from sweeper.space import SearchSpace

Compose = Callable[..., Settings]

TRIAL = BookedTrial(
    number=3,
    cell="latent_dim=64",
    l1_alpha=2.5,
    seed=0,
    is_running=False,
    record={"state": "complete", "l0": 6.1, "l1_alpha": 2.5, "fvu": 0.25},
    optuna_number=0,
)


@pytest.fixture
def cells(quick_settings: Compose) -> tuple[Cell, ...]:
    settings = quick_settings("l1_alpha=null", "sweep.slots=2", "trainer.total_steps=400")
    return make_cells(SearchSpace(), lambda _: settings)


def shown(table: object, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=True, color_system=None).print(table)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_live_table_shows_the_best_answer_of_each_cell(cells: tuple[Cell, ...]) -> None:
    lines = shown(live_table(cells, {3: TRIAL}, []))
    assert lines[1].split() == ["latent_dim=64", "6", "1", "6.1", "2.5", "0.250", "in", "band"]
    assert "0 of 2 slots busy" in lines


def test_live_table_running_trial_has_step_projection_and_time_left(
    cells: tuple[Cell, ...], tmp_path: Path
) -> None:
    history = HistoryFile(tmp_path / "history.csv", 0)
    for step in range(10, 301, 10):
        l0 = 6 * math.exp(0.1 * ((step / 400) ** -1.5 - 1))
        history.append(row(step, l0))
    lines = shown(live_table(cells, {}, [(running(4), cells[0], tmp_path)]))
    assert "1 of 2 slots busy" in lines
    words = lines[-1].split()
    assert words[:4] == ["4:", "latent_dim=64", "2.5", "300/400"]
    assert float(words[5]) == pytest.approx(6, rel=0.1)
    assert words[-2:] == ["10", "s"]


def test_live_table_two_slots_fit_80_columns(cells: tuple[Cell, ...], tmp_path: Path) -> None:
    HistoryFile(tmp_path / "history.csv", 0).append(row(390, 123.4))
    both = [(running(number), cells[0], tmp_path) for number in (1234, 1235)]
    lines = shown(live_table(cells, {3: TRIAL}, both))
    assert max(len(line) for line in lines) <= 80
    assert not [line for line in lines if "…" in line]


def test_live_table_trial_without_history_is_starting(
    cells: tuple[Cell, ...], tmp_path: Path
) -> None:
    assert "starting" in shown(live_table(cells, {}, [(running(4), cells[0], tmp_path)]))[-1]


def test_live_table_trials_of_a_pack_share_a_slot(cells: tuple[Cell, ...], tmp_path: Path) -> None:
    packed: list[Running] = []
    for number in (4, 5, 6):
        directory = tmp_path / str(number)
        directory.mkdir()
        Ticket(trial=number, pack=(4, 5) if number < 6 else None).write(directory)
        packed.append((running(number), cells[0], directory))
    assert "2 of 2 slots busy" in shown(live_table(cells, {}, packed))


def test_live_table_running_trial_has_its_own_number_of_steps(
    quick_settings: Compose, tmp_path: Path
) -> None:
    [cell] = make_cells(SearchSpace(), lambda overrides: quick_settings(*overrides))
    HistoryFile(tmp_path / "history.csv", 0).append(row(300, 6.0))
    trial = replace(running(4), params={"trainer.total_steps": 300})
    words = shown(live_table([cell], {}, [(trial, cell, tmp_path)]))[-1].split()
    assert words[3] == "300/300"
    assert words[-2:] == ["0", "s"]


def running(number: int) -> BookedTrial:
    return replace(TRIAL, number=number, is_running=True, record=None)


def row(step: int, l0: float) -> HistoryRow:
    return HistoryRow(
        step=step,
        learning_rate=1e-3,
        alpha=2.5,
        loss=1.0,
        mse=1.0,
        l1=1.0,
        l0=l0,
        fvu=0.3,
        dead_fraction_window=0.0,
        seconds=step / 10,
    )


def test_live_table_of_topk_shows_no_alpha(settings_of: Compose) -> None:
    [cell] = make_cells(SearchSpace(), lambda _: settings_of("sae=topk"))
    record = {"state": "complete", "l0": 64.0, "l1_alpha": 0.0, "fvu": 0.25}
    trial = replace(TRIAL, cell=cell.name, l1_alpha=0.0, record=record)
    line = shown(live_table([cell], {3: trial}, []))[1]
    assert line.split()[:6] == [cell.name, "64", "1", "64", "0.250", "in"]
