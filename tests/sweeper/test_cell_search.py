from collections.abc import Callable

import optuna
import pytest

from sweeper.cell_search import CellSearch
from sweeper.cells import make_cells
from sweeper.settings import Settings
from sweeper.space import parse_space

Compose = Callable[..., Settings]

KEY = "trainer.learning_rate"


def drawn(quick_settings: Compose, sampler: str, *overrides: str) -> float:
    """The first learning rate that is proposed."""
    space = parse_space([f"{KEY}=tag(log,interval(2e-3,1e-2))", *overrides])
    asked = ("sweep=fvu", f"sweep.sampler={sampler}")
    [cell] = make_cells(space, lambda given: quick_settings(*asked, *given))
    study = optuna.create_study(sampler=CellSearch([cell], space).sampler(cell))
    return study.ask(dict(space.searched)).params[KEY]


def test_notes_name_each_of_the_activations_once(quick_settings: Compose) -> None:
    space = parse_space(["activations.synthetic.d_in=8,16", "seed=0,1"])
    cells = make_cells(space, lambda given: quick_settings(*given))
    assert CellSearch(cells, space).notes() == [
        "activations: synthetic 8d, 32 features, d_in 8",
        "activations: synthetic 16d, 32 features, d_in 16",
    ]


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_sampler_of_a_list_of_seeds_draws_from_its_first(
    quick_settings: Compose, sampler: str
) -> None:
    of_first = drawn(quick_settings, sampler, "seed=7")
    assert drawn(quick_settings, sampler, "seed=7,8") == of_first
    assert drawn(quick_settings, sampler, "seed=9,8") != of_first


def test_sampler_of_a_list_of_seeds_takes_those_that_optuna_does_not(
    quick_settings: Compose,
) -> None:
    large = drawn(quick_settings, "qmc", f"seed={2**32 + 7},8")
    assert large == drawn(quick_settings, "qmc", "seed=7")
