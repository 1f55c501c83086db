import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from sweeper.cells import Cell
from sweeper.errors import SweepError
from sweeper.settings import Settings
from sweeper.storage import open_storage
from sweeper.sweep_config import Goal
from sweeper.trial_book import TrialBook, judged_for

ALPHA = FloatDistribution(0.1, 10, log=True)


@pytest.fixture
def cells(settings_of: Callable[..., Settings]) -> list[Cell]:
    def cell(target: int) -> Cell:
        settings = settings_of(f"target_l0={target}", "sae.latent_dim=1024")
        return Cell(name=f"w,target_l0={target}", group="w", overrides=(), settings=settings)

    other = replace(cell(32), name="v", group="v")
    return [cell(32), cell(64), other]


@pytest.fixture
def open_book(tmp_path: Path, cells: list[Cell]) -> Callable[[], TrialBook]:
    def sampler(_: Cell) -> BaseSampler:
        return RandomSampler(seed=0)

    return lambda: TrialBook(open_storage(None, tmp_path), "study", cells, sampler)


SEARCHED: dict[str, BaseDistribution] = {"trainer.batch_size": CategoricalDistribution((32, 64))}


@pytest.fixture
def fvu_book(tmp_path: Path, cells: list[Cell]) -> tuple[TrialBook, Cell]:
    """A book whose one cell searches a batch size for the lowest fvu."""
    settings = cells[2].settings
    cell = replace(
        cells[2], settings=replace(settings, sweep=replace(settings.sweep, goal=Goal.fvu))
    )
    storage = open_storage(None, tmp_path)
    return TrialBook(storage, "study", [cell], lambda _: RandomSampler(seed=0), SEARCHED), cell


def record(l0: float, **changes: Any) -> dict[str, Any]:
    return {"state": "complete", "l0": l0, "l0_log_error": 0.1, "in_band": False} | changes


def test_book_numbers_run_over_all_cells(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    book = open_book()
    numbers = [book.ask(cell, ALPHA, seed=0).number for cell in (*cells, cells[0])]
    assert numbers == [0, 1, 2, 3]


def test_book_asked_trial_is_running_for_the_next_process(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    asked = open_book().ask(cells[0], ALPHA, seed=7)
    [found] = open_book().known_trials()
    assert found.is_running
    assert (found.number, found.l1_alpha, found.seed) == (0, asked.l1_alpha, 7)


def test_book_told_trial_keeps_its_record(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    book = open_book()
    book.tell(book.ask(cells[2], ALPHA, seed=0), record(40.0))
    [found] = open_book().known_trials()
    assert not found.is_running
    assert found.record == record(40.0)


def test_book_next_process_can_tell_a_running_trial(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    open_book().ask(cells[0], ALPHA, seed=0)
    book = open_book()
    book.tell(book.known_trials()[0], record(40.0))
    assert [trial.record for trial in open_book().known_trials()] == [record(40.0)]


def test_book_sibling_gets_linked_copy_with_its_own_signed_error(
    open_book: Callable[[], TrialBook], cells: list[Cell], tmp_path: Path
) -> None:
    book = open_book()
    book.tell(book.ask(cells[0], ALPHA, seed=0), record(64.0))
    sibling = optuna.load_study(
        study_name="study/w,target_l0=64", storage=open_storage(None, tmp_path)
    )
    [linked] = sibling.trials
    assert linked.user_attrs["linked_from"] == 0
    assert linked.user_attrs["record"]["l0_log_error"] == 0.0
    assert linked.user_attrs["record"]["in_band"] is True
    assert len(book.known_trials()) == 1


@pytest.mark.parametrize(
    ("state", "told_as"), [("diverged", TrialState.FAIL), ("failed", TrialState.FAIL)]
)
def test_book_trial_without_result_is_told_as_failed(
    open_book: Callable[[], TrialBook],
    cells: list[Cell],
    tmp_path: Path,
    state: str,
    told_as: TrialState,
) -> None:
    book = open_book()
    book.tell(book.ask(cells[2], ALPHA, seed=0), {"state": state})
    study = optuna.load_study(study_name="study/v", storage=open_storage(None, tmp_path))
    assert [trial.state for trial in study.trials] == [told_as]


def test_book_ask_at_runs_the_given_alpha(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    assert open_book().ask_at(cells[0], 1.25, seed=3).l1_alpha == 1.25


def test_book_searched_alpha_is_repeated_for_another_seed(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    book = open_book()
    book.ask(cells[0], ALPHA, seed=0)
    assert book.ask_at(cells[0], 1.25, seed=1).seed == 1


@pytest.mark.parametrize("lost", ['"param_name":"l1_alpha"', '"user_attr":{"seed"'])
def test_book_trial_whose_journal_lost_a_line_is_named(
    open_book: Callable[[], TrialBook], cells: list[Cell], tmp_path: Path, lost: str
) -> None:
    open_book().ask(cells[0], ALPHA, seed=0)
    journal = tmp_path / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if lost not in line))
    with pytest.raises(SweepError, match=r"sweep\.storage must hold (l1_alpha|seed) of trial 0"):
        open_book().known_trials()


def test_book_trial_that_was_never_numbered_is_discarded(
    open_book: Callable[[], TrialBook], cells: list[Cell], tmp_path: Path
) -> None:
    book = open_book()
    study = optuna.load_study(study_name="study/v", storage=open_storage(None, tmp_path))
    study.ask()
    book.heal()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert book.known_trials() == []


def test_judged_for_other_target_changes_error_and_band_only(cells: list[Cell]) -> None:
    judged = judged_for(record(64.0, fvu=0.3), cells[1])
    assert judged == record(64.0, fvu=0.3, l0_log_error=0.0, in_band=True)


def test_book_heal_links_what_a_killed_process_had_not(
    open_book: Callable[[], TrialBook], cells: list[Cell], tmp_path: Path
) -> None:
    alone = TrialBook(
        open_storage(None, tmp_path), "study", cells[:1], lambda _: RandomSampler(seed=0)
    )
    alone.tell(alone.ask(cells[0], ALPHA, seed=0), record(64.0))
    book = open_book()
    book.heal()
    book.heal()
    sibling = optuna.load_study(
        study_name="study/w,target_l0=64", storage=open_storage(None, tmp_path)
    )
    assert [trial.user_attrs["linked_from"] for trial in sibling.trials] == [0]


def test_book_retry_is_known_to_the_next_process_before_it_runs(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    open_book().ask_at(cells[0], 1.25, seed=3, retry_of=7)
    [found] = open_book().known_trials()
    assert (found.retry_of, found.is_retry) == (7, True)


def test_book_asks_for_the_searched_keys_and_keeps_them(
    fvu_book: tuple[TrialBook, Cell],
) -> None:
    book, cell = fvu_book
    asked = [book.ask(cell, ALPHA, seed=0).params["trainer.batch_size"] for _ in range(8)]
    assert set(asked) == {32, 64}
    assert [trial.params["trainer.batch_size"] for trial in book.known_trials()] == asked


def test_book_given_candidate_is_asked_for_as_it_is(fvu_book: tuple[TrialBook, Cell]) -> None:
    book, cell = fvu_book
    given = {"trainer.batch_size": 64}
    assert [book.ask(cell, ALPHA, 0, given).params for _ in range(4)] == [given] * 4
    trial = book.ask_at(cell, 2.0, 0, given)
    assert (trial.params, trial.l1_alpha) == (given, 2.0)


def test_book_given_candidate_is_asked_for_whatever_was_left_in_the_queue(
    fvu_book: tuple[TrialBook, Cell], tmp_path: Path
) -> None:
    book, cell = fvu_book
    study = optuna.load_study(study_name="study/v", storage=open_storage(None, tmp_path))
    study.enqueue_trial({"trainer.batch_size": 32})
    given = {"trainer.batch_size": 64}
    assert book.ask(cell, ALPHA, 0, given).params == given
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.RUNNING]


def test_book_goal_fvu_tells_optuna_the_fvu_at_the_target(
    fvu_book: tuple[TrialBook, Cell], tmp_path: Path
) -> None:
    book, cell = fvu_book
    book.tell(book.ask(cell, ALPHA, 0), record(32.0, fvu=0.3, l0_log_error=0.0))
    dense = math.log(2)
    book.tell(book.ask(cell, ALPHA, 0), record(64.0, fvu=0.3, l0_log_error=dense))
    book.tell(book.ask(cell, ALPHA, 0), {"state": "diverged"})
    book.tell(book.ask(cell, ALPHA, 0), {"state": "failed"})
    study = optuna.load_study(study_name="study/v", storage=open_storage(None, tmp_path))
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3 + [TrialState.FAIL]
    on_target, off_target, diverged = [t.value for t in study.trials[:3]]
    assert on_target == pytest.approx(0.3)
    assert off_target is not None
    assert off_target > 0.33
    assert diverged == 1.0


def test_book_alpha_may_be_given_after_it_was_searched_and_the_other_way_round(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    book = open_book()
    for cell in (cells[0], cells[2]):
        given = [book.ask_at(cell, 2.0, seed=0), book.ask(cell, ALPHA, seed=0)]
        given.append(book.ask_at(cell, 3.0, seed=1))
        assert [given[0].l1_alpha, given[2].l1_alpha] == [2.0, 3.0]


def test_book_grid_of_alpha_may_start_at_zero(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    book = open_book()
    assert [book.ask_at(cells[0], alpha, 0).l1_alpha for alpha in (0.0, 1.0)] == [0.0, 1.0]


def test_book_alpha_zero_may_be_given_beside_a_sibling_that_searches(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    book = open_book()
    searching, given = cells[:2]
    book.tell(book.ask(searching, ALPHA, seed=0), record(40.0))
    book.tell(book.ask_at(given, 0.0, seed=0), record(90.0))
    assert book.ask(searching, ALPHA, seed=0).l1_alpha > 0
    assert book.ask_at(given, 1.0, seed=0).l1_alpha == 1.0


def test_book_numbers_go_on_after_those_of_cells_that_are_not_asked_for(
    tmp_path: Path, cells: list[Cell]
) -> None:
    storage = open_storage(None, tmp_path)
    first, second = (
        TrialBook(storage, "study", [cell], lambda _: RandomSampler(seed=0)) for cell in cells[1:]
    )
    asked = [book.ask(book_cell, ALPHA, seed=0) for book, book_cell in ((first, cells[1]),) * 2]
    later = second.ask(cells[2], ALPHA, seed=0)
    assert [trial.number for trial in (*asked, later)] == [0, 1, 2]
    assert [trial.number for trial in second.known_trials()] == [2]
    assert [trial.number for trial in second.all_trials()] == [0, 1, 2]
    assert first.ask(cells[1], ALPHA, seed=0).number == 3  # the cell came after this book


def test_book_numbers_of_another_study_in_the_storage_count_for_nothing(
    tmp_path: Path, cells: list[Cell]
) -> None:
    storage = open_storage(None, tmp_path)
    for name in ("study", "study2"):
        book = TrialBook(storage, name, cells[2:], lambda _: RandomSampler(seed=0))
        assert book.ask(cells[2], ALPHA, seed=0).number == 0


def test_book_claimed_trial_is_the_claimants(tmp_path: Path, cells: list[Cell]) -> None:
    storage = open_storage(None, tmp_path)
    first, second = (
        TrialBook(storage, "study", cells, lambda _: RandomSampler(seed=0), run_by=name)
        for name in ("first", "second")
    )
    asked = first.ask(cells[0], ALPHA, seed=0)
    assert [trial.run_by for trial in second.running()] == ["first"]
    second.claim(asked)
    assert [trial.run_by for trial in first.running()] == ["second"]
    assert (first.is_mine(asked), second.is_mine(asked)) == (False, True)


def test_book_running_leaves_out_what_has_ended(
    open_book: Callable[[], TrialBook], cells: list[Cell]
) -> None:
    book = open_book()
    ended, running = (book.ask(cells[0], ALPHA, seed=0) for _ in range(2))
    book.tell(ended, record(40.0))
    assert [trial.number for trial in book.running()] == [running.number]
