import pytest

from sweeper.errors import SweepError
from sweeper.space import Axis, parse_space


def test_parse_space_plain_values_become_overrides_of_every_job() -> None:
    space = parse_space(["trainer.batch_size=64", "+guide=16k"])
    assert space.fixed == ("trainer.batch_size=64", "+guide=16k")
    assert space.axes == ()


def test_parse_space_storage_is_told_to_no_job() -> None:
    assert parse_space(["sweep.storage=sqlite:///x.db", "sweep.tolerance=0.1"]).fixed == (
        "sweep.tolerance=0.1",
    )


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
        ("trainer.learning_rate=interval(1e-4,1e-3)", "interval(1e-4,1e-3)"),
        ("trainer.batch_size=choice(64,128)", "choice(64,128)"),
        ("sweep.n_trials=3,4", "sweep.n_trials=3,4"),
    ],
)
def test_parse_space_bad_sweep_is_refused_by_name(override: str, named: str) -> None:
    with pytest.raises(SweepError) as caught:
        parse_space([override])
    assert override.split("=")[0] in str(caught.value)
    assert named in str(caught.value)


def test_axis_label_is_last_part_of_key() -> None:
    assert Axis(key="+sae.latent_dim", values=("1",)).label == "latent_dim"
