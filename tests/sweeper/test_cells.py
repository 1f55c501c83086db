from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sae.errors import SaeError
from sweeper.cells import batch_sizes, make_cells, study_definition
from sweeper.errors import SweepError
from sweeper.settings import Settings
from sweeper.space import parse_space


@pytest.fixture
def compose(settings_of: Callable[..., Settings]) -> Callable[[Sequence[str]], Settings]:
    return lambda overrides: settings_of(*overrides)


def test_make_cells_grid_is_product_of_lists(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    space = parse_space(["sae.latent_dim=128,256", "activations.layer=1,3"])
    names = [cell.name for cell in make_cells(space, compose)]
    assert names == [
        "latent_dim=128,layer=1",
        "latent_dim=128,layer=3",
        "latent_dim=256,layer=1",
        "latent_dim=256,layer=3",
    ]


def test_make_cells_without_lists_is_one_cell_named_by_width(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    [cell] = make_cells(parse_space(["sae.latent_dim=256"]), compose)
    assert (cell.name, cell.group) == ("latent_dim=256", "latent_dim=256")


def test_make_cells_targets_share_a_group_and_differ_in_target(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    cells = make_cells(parse_space(["target_l0=32,0.5", "sae.latent_dim=128,256"]), compose)
    assert [cell.target_count for cell in cells] == [32, 64, 32, 128]
    assert [cell.group for cell in cells] == ["latent_dim=128"] * 2 + ["latent_dim=256"] * 2


@pytest.mark.parametrize(
    ("overrides", "sizes"),
    [
        (["trainer.batch_size=32"], [32]),
        (["trainer=guide"], [64]),
        (["trainer=choice(default,guide)"], [512, 64]),
        (["trainer=choice(default,guide)", "trainer.batch_size=32"], [32, 32]),
        (["trainer=choice(default,guide)", "trainer.batch_size=choice(8,16)"], [8, 16]),
        (["trainer.batch_size=int(interval(8,99))"], [8, 99]),
    ],
)
def test_batch_sizes_are_those_that_runs_may_have(
    compose: Callable[[Sequence[str]], Settings], overrides: list[str], sizes: list[int]
) -> None:
    space = parse_space(overrides)
    [cell] = make_cells(space, compose)
    assert batch_sizes(cell, space) == sizes


@pytest.mark.parametrize(
    "steers",
    [
        ["sae.architecture=topk"],
        ["trainer.controller=l0", "l1_alpha=1"],
        ["sae=jumprelu", "sae.jumprelu.penalty=quadratic"],
    ],
)
def test_make_cells_targets_that_steer_their_runs_share_none(
    compose: Callable[[Sequence[str]], Settings], steers: list[str]
) -> None:
    space = parse_space(["target_l0=32,64", "sae.latent_dim=256", *steers])
    cells = make_cells(space, compose)
    assert [cell.group for cell in cells] == [cell.name for cell in cells]


def test_make_cells_vary_in_every_setting_that_records_have_no_column_for(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    lists = "activations.synthetic.seed=0,1", "sae.latent_dim=128,256"
    space = parse_space(["activations=synthetic", *lists])
    found = [cell.varied for cell in make_cells(space, compose)]
    assert found == [{"activations.synthetic.seed": seed} for seed in (0, 0, 1, 1)]


def test_make_cells_values_that_make_one_name_are_refused(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    with pytest.raises(SweepError, match="different cells"):
        make_cells(parse_space(["activations=npy", "activations.path=a@b,a%b"]), compose)


def test_study_definition_ignores_budget_and_device(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    def definition(*arguments: str) -> object:
        space = parse_space(arguments)
        return study_definition(make_cells(space, compose), space, lambda _: "data")

    assert definition("sweep.n_trials=3") == definition("sweep.n_trials=9", "device=cpu")
    assert definition("trainer.total_steps=3") != definition("trainer.total_steps=9")
    assert definition("l1_alpha=1,2") != definition("l1_alpha=1,3")


def test_cell_candidate_has_the_searched_values(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    space = parse_space(["sae.latent_dim=128,256", "trainer.batch_size=choice(32,64)"])
    for cell in make_cells(space, compose):
        settings = cell.candidate({"trainer.batch_size": 64})
        assert settings.trainer.batch_size == 64
        assert settings.sae == cell.settings.sae
        assert cell.candidate({}) is cell.settings


def test_make_cells_value_that_a_searched_key_cannot_take_is_refused_before_a_trial(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    for values in ("interval(-1,1)", "choice(1,-1)"):
        space = parse_space([f"trainer.learning_rate={values}"])
        with pytest.raises(SaeError, match=r"trainer\.learning_rate must be positive"):
            make_cells(space, compose)


def test_study_definition_holds_what_is_searched_and_for_which_goal(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    def definition(*arguments: str) -> dict[str, Any]:
        space = parse_space(arguments)
        return study_definition(make_cells(space, compose), space, lambda _: "data")

    one = definition("trainer.batch_size=choice(32,64)", "sweep.goal=fvu")
    assert one != definition("trainer.batch_size=choice(32,128)", "sweep.goal=fvu")
    assert one != definition("trainer.batch_size=choice(32,64)", "sweep.goal=land")
    assert "goal" not in definition("sweep.goal=land")


def test_make_cells_known_alphas_of_no_cell_are_refused_by_name(
    compose: Callable[[Sequence[str]], Settings],
) -> None:
    def with_known(overrides: Sequence[str]) -> Settings:
        settings = compose(overrides)
        return replace(settings, sweep=replace(settings.sweep, enqueue={"latent_dim=9": [1.0]}))

    with pytest.raises(SweepError, match="must name cells among latent_dim=128, but got"):
        make_cells(parse_space(["sae.latent_dim=128"]), with_known)
