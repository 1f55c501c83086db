from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from sweeper.advice import why_not_reached
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.settings import Settings
from sweeper.space import SearchSpace

MakeCell = Callable[..., Cell]

CANDIDATES = SearchSpace(searched={"batch": CategoricalDistribution((32, 64))})


@pytest.fixture
def cell_of(settings_of: Callable[..., Settings]) -> MakeCell:
    def make(*overrides: str) -> Cell:
        settings = settings_of("target_l0=32", "sae.latent_dim=1024", *overrides)
        return Cell(name="c", group="c", overrides=(), settings=settings)

    return make


def trial(number: int, alpha: float, l0: float, **params: Any) -> BookedTrial:
    return BookedTrial(
        number=number,
        cell="c",
        l1_alpha=alpha,
        seed=0,
        is_running=False,
        record={"state": "complete", "l0": l0, "fvu": 0.3},
        optuna_number=number,
        params=params,
    )


def bounds(_: Cell) -> FloatDistribution:
    return FloatDistribution(0.01, 100.0, log=True)


@pytest.mark.parametrize(
    ("goal", "helps"), [("land", "ended in band; more trainer.total_steps"), ("law", "no law")]
)
def test_why_not_reached_steered_cell_advises_on_the_run_not_on_the_search(
    cell_of: MakeCell, goal: str, helps: str
) -> None:
    steered = cell_of("trainer.controller=l0", f"sweep.goal={goal}")
    line = why_not_reached(steered, [trial(0, 2.0, 90)], SearchSpace(), bounds)
    assert line.startswith(f"the goal {goal} is not reached: ")
    assert helps in line
    assert "trainer.controller=none" in line


@pytest.mark.parametrize(
    ("space", "place"),
    [
        (SearchSpace(), "looks by default, from 0.01 to 100; l1_alpha=interval(low,high) looks"),
        (SearchSpace(alpha_bounds=(0.01, 100.0)), "its interval from 0.01 to 100; another sweep"),
    ],
)
def test_why_not_reached_search_at_a_bound_says_whose_it_is(
    cell_of: MakeCell, space: SearchSpace, place: str
) -> None:
    stuck = [trial(0, 2.0, 90), trial(1, 100.0, 80), trial(2, 100.0, 80)]
    line = why_not_reached(cell_of(), stuck, space, bounds)
    assert "the search came to l1_alpha=100 twice, the end of" in line
    assert place in line


def test_why_not_reached_alpha_repeated_within_its_bounds_moves_nothing(
    cell_of: MakeCell,
) -> None:
    stuck = [trial(0, 2.0, 90), trial(1, 9.0, 90), trial(2, 9.0, 90)]
    line = why_not_reached(cell_of(), stuck, SearchSpace(), bounds)
    assert "l1_alpha=9 twice, where alpha does not move L0 any more" in line


def test_why_not_reached_given_alpha_was_not_searched(cell_of: MakeCell) -> None:
    runs = [trial(0, 9.0, 90, batch=32), trial(1, 9.0, 80, batch=64)]
    line = why_not_reached(cell_of("sweep=fvu", "l1_alpha=9"), runs, CANDIDATES, bounds)
    assert line == (
        "the goal fvu is not reached: no run at the given l1_alpha=9 is in band; without it "
        "alpha is searched"
    )


@pytest.mark.parametrize(
    ("overrides", "state", "helps"),
    [
        (("l1_alpha=100",), "diverged", "a smaller l1_alpha or trainer.learning_rate may help"),
        (("sae=topk",), "diverged", "(1 diverged): a smaller trainer.learning_rate may help"),
        (("sae=topk",), "pruned", "sweep.pruner=none with another sweep.study_name lets"),
    ],
)
def test_why_not_reached_given_run_that_never_ended_says_what_another_would_need(
    cell_of: MakeCell, overrides: tuple[str, ...], state: str, helps: str
) -> None:
    run = replace(trial(0, 100.0, 0), record={"state": state, "l0": None})
    line = why_not_reached(cell_of(*overrides), [run], SearchSpace(), bounds)
    assert "no trial came to its end" in line
    assert helps in line
    assert "n_trials" not in line


@pytest.mark.parametrize(("batches", "all_tried"), [((32,), False), ((32, 64), True)])
def test_why_not_reached_all_candidates_tried_does_not_advise_more_of_them(
    cell_of: MakeCell, batches: tuple[int, ...], all_tried: bool
) -> None:
    steered = cell_of("sweep=fvu", "trainer.controller=l0", f"sweep.n_trials={len(batches)}")
    runs = [trial(number, 9.0, 90, batch=batch) for number, batch in enumerate(batches)]
    line = why_not_reached(steered, runs, CANDIDATES, bounds)
    assert ("a larger sweep.n_trials goes on" in line) is not all_tried
    assert ("every candidate was tried and none is in band" in line) is all_tried
    assert ("trainer.controller=none searches alpha" in line) is all_tried


def test_why_not_reached_candidate_that_may_come_into_the_band_goes_on(cell_of: MakeCell) -> None:
    runs = [trial(number, 9.0 + number, 90, batch=batch) for number, batch in enumerate((32, 64))]
    line = why_not_reached(cell_of("sweep=fvu", "sweep.n_trials=2"), runs, CANDIDATES, bounds)
    assert "a larger sweep.n_trials goes on" in line


def test_why_not_reached_k_off_the_band_is_not_said_to_be_searched(cell_of: MakeCell) -> None:
    line = why_not_reached(cell_of("sae=topk"), [trial(0, 0.0, 20)], SearchSpace(), bounds)
    assert "no run of topk, whose k is target_l0, ended in band" in line
    assert "n_trials" not in line


def test_why_not_reached_one_alpha_of_two_candidates_is_no_repetition(cell_of: MakeCell) -> None:
    runs = [trial(0, 9.0, 90, batch=32), trial(1, 9.0, 80, batch=64)]
    assert "twice" not in why_not_reached(cell_of("sweep=fvu"), runs, CANDIDATES, bounds)


def test_why_not_reached_given_alpha_that_runs_only_start_from_is_not_blamed(
    cell_of: MakeCell,
) -> None:
    steered = cell_of("sweep=fvu", "l1_alpha=9", "trainer.controller=l0")
    runs = [trial(0, 9.0, 90, batch=32)]
    assert "given" not in why_not_reached(steered, runs, CANDIDATES, bounds)
