import re
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from sae.errors import SaeError
from sweeper.errors import SweepError
from sweeper.space import Axis, parse_space


def test_parse_space_plain_values_become_overrides_of_every_job() -> None:
    space = parse_space(["trainer.batch_size=64", "+guide=16k"])
    assert space.fixed == ("trainer.batch_size=64", "+guide=16k")
    assert space.axes == ()


def test_parse_space_comma_lists_become_axes_in_order() -> None:
    space = parse_space(["sae.latent_dim=512,1024", "activations.layer=1,3"])
    assert space.axes == (
        Axis(key="sae.latent_dim", values=("512", "1024")),
        Axis(key="activations.layer", values=("1", "3")),
    )


def test_parse_space_group_list_becomes_axis() -> None:
    assert parse_space(["sae=standard,other"]).axes == (
        Axis(key="sae", values=("standard", "other")),
    )


def test_parse_space_target_list_becomes_targets() -> None:
    assert parse_space(["target_l0=32,0.05"]).targets == ("32", "0.05")


def test_parse_space_seed_list_becomes_replicates() -> None:
    assert parse_space(["seed=0,1,2"]).seeds == (0, 1, 2)


def test_parse_space_alpha_list_becomes_grid() -> None:
    assert parse_space(["l1_alpha=0.5,1,2e-3"]).alpha_grid == (0.5, 1.0, 0.002)


def test_parse_space_alpha_interval_becomes_bounds() -> None:
    assert parse_space(["l1_alpha=interval(0.5,8)"]).alpha_bounds == (0.5, 8.0)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("l1_alpha=interval(8,0.5)", "interval(8,0.5)"),
        ("l1_alpha=interval(0,1)", "interval(0,1)"),
        ("l1_alpha=-1,2", "-1,2"),
        ("l1_alpha=nan,2", "nan,2"),
        ("l1_alpha=a,b", "a,b"),
        ("seed=0,-1", "0,-1"),
        ("sae.latent_dim=64,64", "64,64"),
        ("trainer.learning_rate=interval(1e-3,1e-4)", "interval(1e-3,1e-4)"),
        ("trainer.learning_rate=tag(log,interval(0,1))", "above 0"),
        ("trainer.batch_size=range(64,64)", "range(64,64)"),
        ("trainer.batch_size=tag(log,range(8,64,8))", "in its logarithm"),
        ("trainer.batch_size=range(64,128,0)", "range(64,128,0)"),
        ("sae.latent_dim=choice(64,128)", "choice(64,128)"),
        ("trainer.controller=choice(none,l0)", "choice(none,l0)"),
        ("target_l0=interval(4,8)", "interval(4,8)"),
        ("sweep.n_trials=3,4", "sweep.n_trials=3,4"),
        ("target_l0=8,8.0", "8,8.0"),
        ("seed=0,00", "0,00"),
    ],
)
def test_parse_space_bad_sweep_is_refused_by_name(override: str, named: str) -> None:
    with pytest.raises(SweepError) as caught:
        parse_space([override])
    assert override.split("=")[0] in str(caught.value)
    assert named in str(caught.value)


def test_parse_space_seed_that_no_table_can_hold_is_refused() -> None:
    with pytest.raises(
        SaeError, match=r"^seed must be below 2\^63, but got 9223372036854775808\.$"
    ):
        parse_space(["seed=0,9223372036854775808"])


def test_axis_label_is_last_part_of_key() -> None:
    assert Axis(key="+sae.latent_dim", values=("1",)).label == "latent_dim"


def test_parse_space_functions_are_searched_in_their_order() -> None:
    space = parse_space(
        ["trainer.learning_rate=tag(log,interval(1e-4,1e-2))", "trainer.batch_size=choice(64,128)"]
    )
    assert space.axes == ()
    assert dict(space.searched) == {
        "trainer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "trainer.batch_size": CategoricalDistribution((64, 128)),
    }


def test_parse_space_params_of_the_configuration_mean_the_same() -> None:
    arguments = ["sae.latent_dim=64,128", "target_l0=4,8", "seed=0,1", "trainer.batch_size=32"]
    searched = "trainer.learning_rate=interval(1e-4,1e-2)"
    params = dict(line.split("=", 1) for line in [*arguments, searched])
    assert parse_space([], params) == parse_space([*arguments, searched])


def test_parse_space_of_a_key_given_twice_the_last_counts() -> None:
    searched = "trainer.batch_size=choice(32,64)"
    assert not parse_space([searched, "trainer.batch_size=16"]).searched
    assert parse_space(["trainer.batch_size=16", searched]).fixed == ()


def test_parse_space_params_in_nested_tables_are_those_of_dotted_keys() -> None:
    nested = {"trainer": {"batch_size": 64, "learning_rate": "interval(1e-3,1e-2)"}}
    dotted = {"trainer.batch_size": 64, "trainer.learning_rate": "interval(1e-3,1e-2)"}
    assert parse_space([], nested) == parse_space([], dotted)


def test_parse_space_params_with_a_null_is_a_null() -> None:
    assert parse_space([], {"hidden_dim": None}).fixed == ("hidden_dim=null",)


def test_parse_space_alpha_searched_on_the_command_line_frees_a_configured_alpha() -> None:
    assert parse_space(["l1_alpha=interval(1,2)"]).fixed == ("l1_alpha=null",)
    assert parse_space([], {"l1_alpha": "interval(1,2)"}).fixed == ()


@pytest.mark.parametrize(
    ("arguments", "params", "named"),
    [
        (["l1_alpha=1", "l1_alpha=interval(1,2)"], {}, "l1_alpha=1 and l1_alpha=interval"),
        (["seed=2"], {"seed": "0,1"}, "seed=0,1 in hydra.sweeper.params and seed=2"),
        ([], {"sweep.n_trials": 4}, "sweep.n_trials"),
        ([], {"hydra.sweep.dir": "x"}, "hydra.sweep.dir"),
    ],
)
def test_parse_space_contradictory_places_are_refused(
    arguments: list[str], params: dict[str, Any], named: str
) -> None:
    with pytest.raises(SweepError, match=re.escape(named)):
        parse_space(arguments, params)


def test_parse_space_forced_keys_mean_what_plain_ones_do() -> None:
    space = parse_space(["++seed=0,1", "++l1_alpha=interval(1,8)"])
    assert space.seeds == (0, 1)
    assert space.alpha_bounds == (1, 8)
    assert not space.axes
    assert not space.searched
