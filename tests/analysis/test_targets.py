import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.targets import target_of


def test_target_of_asked_wins() -> None:
    assert target_of(pd.DataFrame({"target_l0": [64.0]}), 32) == 32


def test_target_of_shared_by_all_trials_is_taken() -> None:
    assert target_of(pd.DataFrame({"target_l0": [64.0, None, 64.0]})) == 64


@pytest.mark.parametrize(("targets", "found"), [([None], "none"), ([64.0, 32.0], "32, 64")])
def test_target_of_none_or_several_must_be_given(targets: list[float | None], found: str) -> None:
    table = pd.DataFrame({"target_l0": pd.Series(targets, dtype="float64")})

    with pytest.raises(AnalysisError, match=f"target_l0 must be given .* but got {found}"):
        target_of(table)
