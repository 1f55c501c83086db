from collections.abc import Callable
from typing import Any

import pytest

from sweeper.advice import why_not_reached
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.settings import Settings
from sweeper.space import SearchSpace

MakeCell = Callable[..., Cell]


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


@pytest.mark.parametrize(
    ("goal", "helps"), [("land", "ended in band; more trainer.total_steps"), ("law", "no law")]
)
def test_why_not_reached_steered_cell_advises_on_the_run_not_on_the_search(
    cell_of: MakeCell, goal: str, helps: str
) -> None:
    steered = cell_of("trainer.controller=l0", f"sweep.goal={goal}")
    line = why_not_reached(steered, [trial(0, 2.0, 90)], SearchSpace())
    assert line.startswith(f"the goal {goal} is not reached: ")
    assert helps in line
    assert "trainer.controller=none" in line
