from collections.abc import Callable
from pathlib import Path

import pytest

from sae.stop_signal import StopSignal
from sweeper.execution.executor import Ending
from sweeper.execution.lease import LeaseWatch, ask_to_stop, hold
from sweeper.pack_job import run_pack
from sweeper.record import Ticket, read_record
from sweeper.settings import Settings

Compose = Callable[..., Settings]


@pytest.fixture
def members(quick_settings: Compose, tmp_path: Path) -> list[tuple[Settings, Path]]:
    """Two trials of 20 steps, whose directories are there."""
    found = [
        (quick_settings("trainer.total_steps=20", f"l1_alpha={alpha}"), tmp_path / f"{alpha}")
        for alpha in (1, 2)
    ]
    for _, directory in found:
        directory.mkdir()
    return found


def test_run_pack_trial_that_another_job_holds_leaves_the_others_alone(
    members: list[tuple[Settings, Path]],
) -> None:
    (_, first), (_, second) = members
    with hold(first, 1):
        ends = run_pack(members)
    assert [end.ending for end in ends] == [Ending.lost, Ending.returned]
    assert read_record(first) is None
    assert (read_record(second) or {})["state"] == "complete"


def test_run_pack_trial_that_crashes_leaves_the_others_alone(
    members: list[tuple[Settings, Path]],
) -> None:
    (_, first), (_, second) = members
    (first / "history.csv").mkdir()
    (second / "trial.json").write_text('{"trial": 1, "predicted_l0": -1}')
    ends = run_pack([*members, (members[0][0], first.parent / "third")])
    assert [end.ending for end in ends] == [Ending.refused, Ending.crashed, Ending.returned]
    assert not LeaseWatch(first).is_alive()


def test_run_pack_trial_that_diverges_leaves_the_others_alone(
    members: list[tuple[Settings, Path]], quick_settings: Compose
) -> None:
    (_, first), (_, second) = members
    wild = quick_settings("trainer.total_steps=20", "trainer.learning_rate=1e30")
    ends = run_pack([(wild, first), members[1]])
    assert [end.ending for end in ends] == [Ending.returned, Ending.returned]
    assert (read_record(first) or {})["state"] == "diverged"
    assert (read_record(second) or {})["state"] == "complete"


def test_run_pack_asked_to_stop_one_trial_stops_that_one(
    members: list[tuple[Settings, Path]],
) -> None:
    (_, first), (_, second) = members
    ask_to_stop(first)
    ends = run_pack(members)
    assert [end.ending for end in ends] == [Ending.returned, Ending.returned]
    assert read_record(first) is None
    assert any((first / "checkpoint").iterdir())
    assert (read_record(second) or {})["state"] == "complete"


def test_run_pack_stops_every_trial_where_its_process_is_asked_to(
    members: list[tuple[Settings, Path]],
) -> None:
    process = StopSignal()
    with hold(members[0][1], 1, process) as one, hold(members[1][1], 1, process) as other:
        assert not one.stop.requested
        process.request("SIGTERM")
        assert one.stop.requested
        assert other.stop.requested
        assert other.stop.reason == "SIGTERM"


def test_ticket_of_a_pack_is_read_as_written(tmp_path: Path) -> None:
    ticket = Ticket(trial=1).again(2, [1, 2])
    ticket.write(tmp_path)
    assert Ticket.read(tmp_path) == ticket
    assert "pack" not in ticket.for_record()
