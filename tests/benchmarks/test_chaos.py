import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.chaos import Plan, run
from benchmarks.chaos_watch import ChaosWatch

WRITER = """
import sys, time
with open(sys.argv[1], "a"):
    print("open", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("commands", [1, 2])
def test_run_killed_controller_and_worker_lose_and_double_nothing(
    tmp_path: Path, commands: int
) -> None:
    plan = Plan(
        storage=None,
        study="s",
        widths=1,
        seeds=2,
        kills=2,
        seed=0,
        slots=2,
        steps=800,
        commands=commands,
        longest_pause=0.3,
    )
    outcome = run(plan, tmp_path)
    assert outcome.kills == {"controller": 1, "worker": 1}
    assert outcome.is_good(undisturbed=outcome.trials * plan.steps)


@pytest.mark.parametrize(("processes", "is_seen"), [(1, False), (2, True)])
def test_watch_sees_two_processes_that_write_one_history(
    tmp_path: Path, processes: int, is_seen: bool
) -> None:
    history = tmp_path / "trial_00000" / "history.csv"
    history.parent.mkdir()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(history)], stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    with ChaosWatch(tmp_path) as watch:
        time.sleep(0.5)
    for writer in writers:
        writer.kill()
        writer.communicate()
    assert bool(watch.two_writers) is is_seen


def test_watch_counts_steps_that_are_run_again(tmp_path: Path) -> None:
    history = tmp_path / "trial_00000" / "history.csv"
    history.parent.mkdir()
    with ChaosWatch(tmp_path) as watch:
        for last in (50, 30):
            history.write_text("step,l0\n" + "".join(f"{s},6\n" for s in range(10, last + 1, 10)))
            time.sleep(0.5)
    assert watch.steps_again == 20
    assert not watch.two_writers
