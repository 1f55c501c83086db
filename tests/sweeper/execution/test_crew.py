import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from sweeper.errors import SweepError
from sweeper.execution import crew as crew_module
from sweeper.execution.crew import Crew, enlisted
from sweeper.execution.lease import LOCK_FILE, Owner, lease_path


def _run(folder: Path, held: Event, done: Event) -> None:
    with enlisted(folder):
        held.set()
        done.wait(30)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[BaseProcess]:
    """Another process that runs the study of `tmp_path`."""
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_run, args=(tmp_path, held, done))
    process.start()
    assert held.wait(30)
    yield process
    if process.is_alive():
        done.set()
        process.join()


def test_enlisted_second_command_is_refused_with_first_ones_number(
    command: BaseProcess, tmp_path: Path
) -> None:
    with (
        pytest.raises(SweepError, match=f"process {command.pid} is running it"),
        enlisted(tmp_path),
    ):
        pass


def test_enlisted_second_command_joins_where_asked(command: BaseProcess, tmp_path: Path) -> None:
    with enlisted(tmp_path, join=True) as crew:
        [other] = crew.others()
        assert not crew.is_gone(other.name)
        assert not crew.is_gone(crew.name)


def test_enlisted_killed_command_is_gone_and_cleared_away(
    command: BaseProcess, tmp_path: Path
) -> None:
    [place] = Crew(tmp_path).others()
    command.kill()
    command.join()
    with enlisted(tmp_path) as crew:
        assert crew.is_gone(place.name)
        assert not place.exists()


def test_enlisted_leaves_nothing_of_its_own_however_it_ends(tmp_path: Path) -> None:
    def run_and_be_interrupted() -> None:
        with enlisted(tmp_path) as crew:
            assert crew.place.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_and_be_interrupted()
    assert not list((tmp_path / "commands").iterdir())


def test_enlisted_after_a_kill_on_another_machine_waits_until_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "commands" / "elsewhere"
    place.mkdir(parents=True)
    (place / LOCK_FILE).touch()
    owner = replace(Owner.here(1), host="elsewhere", boot="another kernel")
    lease_path(place, 1).write_text(json.dumps(asdict(owner)))
    monkeypatch.setattr("sweeper.execution.lease.STALE_AFTER", 0.3)
    monkeypatch.setattr(crew_module, "LOOK_EVERY", 0.1)
    with enlisted(tmp_path) as crew:
        assert crew.is_gone("elsewhere")


def test_crew_trial_of_before_there_were_names_has_no_command(tmp_path: Path) -> None:
    assert Crew(tmp_path).is_gone(None)


def test_crew_turn_keeps_the_others_waiting(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_run, args=(tmp_path, held, done))
    with Crew(tmp_path).turn():
        process.start()
        assert not held.wait(3)
    assert held.wait(30)
    done.set()
    process.join()


def test_crew_turn_within_a_turn_is_the_same(tmp_path: Path) -> None:
    crew = Crew(tmp_path)
    with crew.turn(), crew.turn():
        pass
    with crew.turn():
        pass


def test_enlisted_commands_that_come_and_go_together_meet_no_missing_file(tmp_path: Path) -> None:
    def come_and_go(_: int) -> None:
        for _ in range(60):
            with enlisted(tmp_path, join=True):
                pass

    with ThreadPoolExecutor(3) as commands:
        list(commands.map(come_and_go, range(3)))
    assert not list((tmp_path / "commands").iterdir())
