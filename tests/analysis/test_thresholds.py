import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.errors import AnalysisError
from analysis.thresholds import (
    DEFAULT_PATH,
    default_thresholds,
    load_thresholds,
    thresholds_from,
)


@pytest.fixture(name="content")
def fixture_content() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load(DEFAULT_PATH.read_text()))


def test_default_thresholds_hold_the_guides_numbers() -> None:
    guide = default_thresholds().guide

    assert (guide.loss_success, guide.l0_success, guide.dead_failure) == (0.03, 0.10, 0.50)


def test_load_thresholds_own_file_overrides_a_limit(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    content["own"]["tolerance"] = 0.1
    path = tmp_path / "limits.yaml"
    path.write_text(yaml.safe_dump(content))

    assert load_thresholds(path).own.tolerance == 0.1


def test_thresholds_misspelt_key_names_the_nearest(content: dict[str, Any]) -> None:
    content["own"]["tolerence"] = 0.1

    with pytest.raises(AnalysisError, match="own has no key 'tolerence'; the nearest is 'toler"):
        thresholds_from(content)


def test_thresholds_missing_key_is_named(content: dict[str, Any]) -> None:
    del content["guide"]["dead_failure"]

    with pytest.raises(AnalysisError, match="guide must hold the key 'dead_failure'"):
        thresholds_from(content)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "x", True, None])
def test_thresholds_limit_not_positive_names_key_and_value(
    content: dict[str, Any], value: object
) -> None:
    content["early"]["dead"] = value

    with pytest.raises(AnalysisError, match=r"early\.dead must be a positive number, but got"):
        thresholds_from(content)


def test_with_tolerance_not_positive_is_refused() -> None:
    with pytest.raises(
        AnalysisError, match=r"own\.tolerance must be a positive number, but got 0"
    ):
        default_thresholds().with_tolerance(0)


@pytest.mark.parametrize("bad", [None, [], "own"])
def test_thresholds_not_a_mapping_is_refused(bad: object) -> None:
    with pytest.raises(AnalysisError, match="thresholds must hold the keys own, guide, early"):
        thresholds_from(bad)


@pytest.mark.parametrize("text", ["own: [", None])
def test_load_thresholds_unreadable_file_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "limits.yaml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(AnalysisError, match="thresholds must be a readable YAML file") as caught:
        load_thresholds(path)

    assert "\n" not in str(caught.value)
