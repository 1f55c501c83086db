import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweeper.distributions import (
    Value,
    distribution_of,
    grid_of,
    number_of_points,
    override_text,
    telling_values,
)
from sweeper.errors import SweepError


def parsed(value: str) -> Override:
    return OverridesParser.create().parse_override(f"k={value}")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("choice(1,2)", CategoricalDistribution((1, 2))),
        ("1,2", CategoricalDistribution((1, 2))),
        ("choice(true,false)", CategoricalDistribution((True, False))),
        ("choice('a b',c)", CategoricalDistribution(("a b", "c"))),
        ("choice([1,2],[3])", CategoricalDistribution(("[1,2]", "[3]"))),
        ("sort(choice(3,1,2))", CategoricalDistribution((1, 2, 3))),
        ("range(0,10)", IntDistribution(0, 9)),
        ("range(0,10,4)", IntDistribution(0, 8, step=4)),
        ("range(10,0,-4)", IntDistribution(2, 10, step=4)),
        ("range(0.5,5.5,step=1)", FloatDistribution(0.5, 4.5, step=1)),
        ("range(0,0.3,0.1)", FloatDistribution(0, 0.2, step=0.1)),
        ("interval(1,5)", FloatDistribution(1, 5)),
        ("tag(log,interval(1,5))", FloatDistribution(1, 5, log=True)),
        ("int(interval(1,5))", IntDistribution(1, 5)),
        ("tag(log,int(interval(1,5)))", IntDistribution(1, 5, log=True)),
    ],
)
def test_distribution_of_every_function_of_the_grammar(
    written: str, expected: BaseDistribution
) -> None:
    assert distribution_of(parsed(written)) == expected


def test_distribution_of_shuffled_values_is_the_same_every_time() -> None:
    found = {distribution_of(parsed("shuffle(range(0,9))")) for _ in range(8)}
    assert found == {CategoricalDistribution(tuple(range(9)))}


@pytest.mark.parametrize(
    "written",
    ["interval(2,1)", "tag(log,interval(0,1))", "range(1,1)", "range(1,5,0)", "range(1,5,-1)"],
)
def test_distribution_of_a_sweep_without_values_is_refused_by_name(written: str) -> None:
    with pytest.raises(SweepError, match=r"^k must .* but got 'k="):
        distribution_of(parsed(written))


@given(start=st.integers(-50, 50), count=st.integers(1, 30), step=st.sampled_from([1, 3, 0.1]))
def test_grid_of_a_range_holds_every_step_before_its_stop(
    start: int, count: int, step: float
) -> None:
    stop = round(start + count * step, 6)
    grid = grid_of(distribution_of(parsed(f"range({start},{stop},{step})")))
    assert grid == pytest.approx([start + index * step for index in range(count)])


def test_grid_of_an_interval_has_no_end() -> None:
    assert grid_of(FloatDistribution(0, 1)) is None


def test_number_of_points_is_the_product_where_every_key_has_an_end() -> None:
    ends = [IntDistribution(1, 3), CategoricalDistribution(("a", "b"))]
    assert number_of_points(ends) == 6
    assert number_of_points([*ends, FloatDistribution(0, 1)]) is None


@pytest.mark.parametrize("value", [None, True, 3, 0.25, "tanh"])
def test_override_text_reads_back_as_the_value(value: Value) -> None:
    assert parsed(override_text(value)).value() == value


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (IntDistribution(2, 4), [2, 4]),
        (FloatDistribution(0.5, 1), [0.5, 1]),
        (CategoricalDistribution(("a", "b", True)), ["a", "b", True]),
    ],
)
def test_telling_values_are_the_ends_or_all_choices(
    distribution: BaseDistribution, values: list[Value]
) -> None:
    assert telling_values(distribution) == values
