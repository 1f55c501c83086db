from collections.abc import Callable, Sequence

import pytest

from sweeper.budgets import with_budgets
from sweeper.cells import make_cells
from sweeper.settings import Settings
from sweeper.space import parse_space
from sweeper.trial_counts import count_trials

Compose = Callable[..., Settings]

INTERVAL = "trainer.learning_rate=tag(log,interval(1e-4,1e-2))"
CHOICE = "trainer.batch_size=choice(64,128,256)"
FVU = "sweep=fvu", "sweep.n_trials=20"


def counts(settings_of: Compose, *arguments: str) -> list[tuple[int, int]]:
    """Expected and most, of each cell."""
    space = parse_space(arguments)

    def compose(overrides: Sequence[str]) -> Settings:
        return settings_of("activations=synthetic", "target_l0=12", *overrides)

    cells = with_budgets(make_cells(space, compose), space, compose)
    found = [count_trials(cell, cells, space) for cell in cells]
    return [(count.expected, count.most) for count in found]


@pytest.mark.parametrize(
    "arguments", [("sae=topk", INTERVAL), ("l1_alpha=2", INTERVAL), (INTERVAL,)]
)
def test_count_trials_of_goal_fvu_is_its_whole_budget(
    settings_of: Compose, arguments: tuple[str, ...]
) -> None:
    assert counts(settings_of, *FVU, *arguments) == [(20, 20)]


def test_count_trials_of_goal_fvu_adds_seeds_and_confirmation(settings_of: Compose) -> None:
    again = "seed=0,1", "sweep.confirm=3"
    assert counts(settings_of, *FVU, INTERVAL, *again) == [(24, 24)]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("sweep.sampler=grid", "l1_alpha=1.5"), (3, 3)),
        (("sweep.sampler=grid",), (4, 12)),
        (("l1_alpha=1.5",), (6, 20)),  # three candidates are all drawn in 5.5 draws
        ((), (7, 20)),
    ],
)
def test_count_trials_of_few_candidates_may_end_when_all_were_tried(
    settings_of: Compose, arguments: tuple[str, ...], count: tuple[int, int]
) -> None:
    assert counts(settings_of, *FVU, CHOICE, *arguments) == [count]


def test_count_trials_of_few_candidates_are_shared_by_targets(settings_of: Compose) -> None:
    shared = *FVU, CHOICE, "l1_alpha=1.5", "target_l0=12,20", "sweep.sampler=grid"
    assert counts(settings_of, *shared) == [(3, 3), (0, 0)]


@pytest.mark.parametrize(
    ("arguments", "expected"), [((), 2), (("sae=topk",), 1), (("l1_alpha=1.5",), 6)]
)
def test_count_trials_of_goal_land_with_searched_keys_ends_with_the_first_landing(
    settings_of: Compose, arguments: tuple[str, ...], expected: int
) -> None:
    assert counts(settings_of, CHOICE, *arguments) == [(expected, 12)]


def test_count_trials_of_known_alphas_has_them_all_once_and_a_search(settings_of: Compose) -> None:
    known = "sweep.enqueue=[1,2,3,4,5]", "target_l0=12,20"
    assert counts(settings_of, *known) == [(6, 12), (2, 12)]


def test_count_trials_of_more_known_alphas_than_trials_has_them_all(settings_of: Compose) -> None:
    assert counts(settings_of, "sweep.enqueue=[1,2,3]", "sweep.n_trials=2") == [(3, 3)]


def test_count_trials_of_a_law_has_three_alphas(settings_of: Compose) -> None:
    assert counts(settings_of, "sweep=law") == [(3, 12)]


def test_count_trials_of_short_runs_has_neither_seeds_nor_known_alphas(
    settings_of: Compose,
) -> None:
    further = "sweep.budgets=[0.5,1]", "seed=0,1", "sweep.enqueue=[1,2,3]"
    assert counts(settings_of, *further) == [(2, 12), (5, 13)]
