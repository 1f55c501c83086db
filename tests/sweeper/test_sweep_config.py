import pytest

from sweeper.errors import SweepError
from sweeper.sweep_config import SweepConfig


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("study_name", "a/b"),
        ("study_name", "../up"),
        ("study_name", ""),
        ("study_name", ".hidden"),
        ("n_trials", 0),
        ("slots", 0),
        ("tolerance", 0.0),
        ("tolerance", 1.0),
        ("timeout", -1.0),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("tolerance", float("inf")),
        ("max_retries", -1),
        ("confirm", -1),
        ("enqueue", [0.0]),
        ("enqueue", ["a"]),
        ("enqueue", [True]),
        ("enqueue", 2.0),
        ("enqueue", {"cell": 2.0}),
    ],
)
def test_sweep_config_bad_value_is_named_with_key_and_value(key: str, value: object) -> None:
    with pytest.raises(SweepError) as caught:
        SweepConfig(**{key: value})  # type: ignore[arg-type]
    assert f"sweep.{key} must" in str(caught.value)
    assert f"but got {value!r}." in str(caught.value)
