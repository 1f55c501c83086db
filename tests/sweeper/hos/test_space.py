from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweeper.errors import SweepError
from sweeper.hos.options import HosOptions
from sweeper.hos.space import load_extend, read_space
from sweeper.sampler_names import SamplerName


def options(**changes: Any) -> HosOptions:
    given: dict[str, Any] = {
        "sampler": SamplerName.tpe,
        "sampler_options": {},
        "directions": ("minimize",),
        "storage": None,
        "study_name": None,
        "n_trials": 1,
        "n_jobs": 1,
        "max_failure_rate": 0.0,
        "params": {},
        "search_space": {},
        "custom_search_space": None,
    }
    return HosOptions(**given | changes)


def test_read_space_comma_list_is_a_choice() -> None:
    assert read_space(options(), ["x=1,2"]).searched == {"x": CategoricalDistribution((1, 2))}


def test_read_space_command_line_replaces_params_and_deletes() -> None:
    params = {"x": "choice(1,2)", "y": "interval(0,1)", "z": 3}
    space = read_space(options(params=params), ["x=5", "z=range(0,3)", "~w"])
    assert space.searched == {"y": FloatDistribution(0, 1), "z": IntDistribution(0, 2)}
    assert (space.fixed, space.deleted) == ({"x": "5"}, ["~w"])


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"type": "categorical", "choices": [1, 2]}, CategoricalDistribution((1, 2))),
        ({"type": "int", "low": 0, "high": 10}, IntDistribution(0, 10)),
        ({"type": "int", "low": 0, "high": 10, "step": 2}, IntDistribution(0, 10, step=2)),
        ({"type": "int", "low": 1, "high": 9, "log": True}, IntDistribution(1, 9, log=True)),
        ({"type": "float", "low": 0, "high": 1}, FloatDistribution(0, 1)),
        ({"type": "float", "low": 0, "high": 10, "step": 2}, FloatDistribution(0, 10, step=2)),
        ({"type": "float", "low": 1, "high": 9, "log": True}, FloatDistribution(1, 9, log=True)),
    ],
)
def test_read_space_older_tables_say_the_same_distributions(
    table: dict[str, Any], expected: BaseDistribution
) -> None:
    assert read_space(options(search_space={"x": table}), []).searched == {"x": expected}


@pytest.mark.parametrize(
    "table",
    [
        3,
        {"type": "complex"},
        {"type": "int", "low": 0},
        {"type": "float", "low": 2, "high": 1},
        {"type": "int", "low": 0, "high": 1, "sigma": 2},
    ],
)
def test_read_space_older_table_without_a_distribution_is_refused_by_name(table: Any) -> None:
    with pytest.raises(SweepError, match=r"^hydra\.sweeper\.search_space\.x must"):
        read_space(options(search_space={"x": table}), [])


@pytest.mark.parametrize("path", ["os.system", "no_such_module.f", "json.no_function", "f"])
def test_load_extend_what_is_no_python_function_is_refused_by_name(path: str) -> None:
    with pytest.raises(SweepError, match=r"^hydra\.sweeper\.custom_search_space must"):
        load_extend(path)
