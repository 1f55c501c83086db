from contextlib import ExitStack
from pathlib import Path

from sweeper.booked_trial import BookedTrial
from sweeper.execution.lease import hold
from sweeper.record import Ticket
from sweeper.unfinished import Unfinished


def booked(number: int, cell: str = "one") -> BookedTrial:
    return BookedTrial(
        number=number, cell=cell, l1_alpha=1.0, seed=0, is_running=True, record=None,
        optuna_number=number,
    )  # fmt: skip


def unfinished(folder: Path, *trials: BookedTrial) -> Unfinished:
    queue = Unfinished(lambda trial: folder / str(trial.number), lambda trial: trial.cell)
    queue.extend(trials)
    return queue


def packs(queue: Unfinished, most: int) -> list[list[int]]:
    found: list[list[int]] = []
    while queue:
        found.append([trial.number for trial in queue.next_pack(most)])
    return found


def test_next_pack_takes_trials_of_one_group_up_to_the_most(tmp_path: Path) -> None:
    queue = unfinished(
        tmp_path, booked(0), booked(1, "other"), booked(2), booked(3), booked(4, "other")
    )
    assert packs(queue, 2) == [[0, 2], [1, 4], [3]]


def test_next_pack_takes_the_trials_of_a_live_job_together(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for number in (1, 3):
            directory = tmp_path / str(number)
            stack.enter_context(hold(directory, 1))
            Ticket(trial=number, pack=[1, 3]).write(directory)
        queue = unfinished(tmp_path, booked(1), booked(2), booked(3), booked(4))
        assert packs(queue, 1) == [[1, 3], [2], [4]]


def test_next_pack_leaves_live_trials_out_of_a_new_job(tmp_path: Path) -> None:
    with hold(tmp_path / "1", 1):
        queue = unfinished(tmp_path, booked(0), booked(1), booked(2))
        assert packs(queue, 3) == [[0, 2], [1]]
