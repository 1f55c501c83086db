import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.law import Law
from analysis.mixture import Z_95
from analysis.refitting import refit
from analysis.results import WidthResult
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]

SCALES = {512: 2.0, 1024: 1.9, 2048: 1.75, 4096: 1.6}
ROWS = [
    (width, alpha, 64 * (alpha / scale) ** -1.2)
    for width, scale in SCALES.items()
    for alpha in (1.0, 2.0, 4.0)
]


@pytest.fixture(scope="module")
def law(make_trials: MakeTrials) -> Law:
    return Law.from_refit(refit(make_trials(ROWS), target_l0=64))


@pytest.fixture
def document(law: Law) -> dict[str, Any]:
    return json.loads(json.dumps(law.to_json()))


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_law_save_and_load_is_the_same_law(law: Law, tmp_path: Path):
    law.save(tmp_path / "law.json")
    assert Law.load(tmp_path / "law.json") == law


def test_law_save_twice_is_the_same_bytes(law: Law, tmp_path: Path):
    law.save(tmp_path / "one.json")
    law.save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_law_names_what_it_belongs_to(law: Law):
    recipe = law.to_json()["recipe"]
    assert (recipe["architecture"], recipe["penalty"], recipe["d_in"]) == ("standard", "l1", 384)
    assert law.status == "law"


def test_alpha_for_a_fitted_width_is_near_its_alpha(law: Law):
    mean, sd = law.alpha_for(1024, 64)
    assert math.exp(mean) == pytest.approx(1.9, rel=0.03)
    assert sd < 0.1


def test_alpha_for_another_target_follows_the_elasticity(law: Law):
    step = law.alpha_for(1024, 64)[0] - law.alpha_for(1024, 80)[0]
    assert step == pytest.approx(math.log(80 / 64) / 1.2, rel=0.05)


def test_alpha_for_a_fraction_is_the_count_it_stands_for(law: Law):
    assert law.alpha_for(1024, 0.0625) == law.alpha_for(1024, 64)


def test_alpha_for_far_widths_widens(law: Law):
    sds = [law.alpha_for(width, 64)[1] for width in (1024, 3000, 8192, 65536)]
    assert sds == sorted(sds)
    assert sds[3] > 0.35 * math.log(65536 / 4096)


def test_alpha_for_far_targets_widens(law: Law):
    sds = [law.alpha_for(1024, target)[1] for target in (64, 30, 5, 1)]
    assert sds == sorted(sds)
    assert sds[3] > 5 * sds[0]


@pytest.fixture(scope="module")
def sparse_law(minilm: pd.DataFrame) -> Law:
    return Law.from_refit(refit(minilm, target_l0=0.02))


@pytest.mark.parametrize("width", [512, 1024, 2048, 4096])
def test_alpha_for_denser_targets_falls_and_widens(sparse_law: Law, width: int):
    targets = [share / 1000 for share in range(20, 200, 2)]
    means, sds = zip(*(sparse_law.alpha_for(width, each) for each in targets), strict=True)
    assert all(later < earlier for earlier, later in pairwise(means))
    assert list(sds) == sorted(sds)


@pytest.mark.parametrize("width", [512, 1024, 2048, 4096])
def test_alpha_for_denser_targets_takes_no_leap(sparse_law: Law, width: int):
    means = [sparse_law.alpha_for(width, share / 1000)[0] for share in range(20, 200)]
    leaps = [abs(earlier - later) for earlier, later in pairwise(means)]
    assert max(leaps) < 0.1


@pytest.mark.parametrize("asked", [0.05, 0.1, 0.15])
def test_alpha_for_another_target_agrees_with_that_targets_fit(
    minilm: pd.DataFrame, sparse_law: Law, asked: float
):
    for width in refit(minilm, target_l0=asked).widths:
        assert_agrees(sparse_law.alpha_for(width.latent_dim, asked), width)


def test_alpha_for_another_target_of_a_flattening_curve_agrees_with_that_targets_fit(data: Path):
    trials = load_trials(data / "l0_curve_saelens_719.csv")
    law, fit = Law.from_refit(refit(trials, target_l0=80)), refit(trials, target_l0=250)
    assert_agrees(law.alpha_for(3072, 250), fit.widths[0])


def assert_agrees(by_law: tuple[float, float], width: WidthResult) -> None:
    """The law and the width's own fit differ by less than two of their joint sd."""
    (mean, sd), star = by_law, width.alpha_star
    assert star is not None
    fitted_sd = math.log(star.high / star.low) / (2 * Z_95)
    assert abs(mean - math.log(star.value)) < 2 * math.hypot(sd, fitted_sd)


def test_load_law_without_curvature_sd_takes_the_assumed_one(
    document: dict[str, Any], tmp_path: Path
):
    for shape in document["shapes"]:
        del shape["curvature_sd"]
    loaded = Law.load(write(tmp_path / "law.json", document))
    assert {shape.curvature_sd for shape in loaded.shapes} == {0.2}


def test_alpha_for_dense_target_beyond_the_turn_stays_finite(minilm: pd.DataFrame):
    law = Law.from_refit(refit(minilm, target_l0=0.05))
    mean, sd = law.alpha_for(1024, 1000)
    assert math.isfinite(mean)
    assert math.isfinite(sd)


def test_alpha_for_impossible_target_is_refused(law: Law):
    with pytest.raises(AnalysisError, match="target_l0 must be above 0 and at most latent_dim"):
        law.alpha_for(32, 64)


def test_from_refit_one_width_takes_theorys_exponent_and_is_unsure(make_trials: MakeTrials):
    law = Law.from_refit(refit(make_trials(ROWS[:3]), target_l0=64))
    assert (law.status, law.beta) == ("provisional", 0.0)
    assert law.alpha_for(1024, 64)[1] > 0.7 * math.log(2)


def test_from_refit_nothing_bracketed_is_refused(make_trials: MakeTrials):
    with pytest.raises(AnalysisError, match="widths must bracket the target at least once"):
        Law.from_refit(refit(make_trials(ROWS), target_l0=1))


def test_load_units_of_a_foreign_table_are_refused_unless_asked_for(
    minilm: pd.DataFrame, tmp_path: Path
):
    Law.from_refit(refit(minilm, target_l0=0.05)).save(tmp_path / "law.json")
    with pytest.raises(AnalysisError, match=r"units must be canonical in .*, but got as_given"):
        Law.load(tmp_path / "law.json")
    assert Law.load(tmp_path / "law.json", units=None).units == "as_given"


def test_load_other_penalty_is_refused(law: Law, tmp_path: Path):
    law.save(tmp_path / "law.json")
    with pytest.raises(AnalysisError, match=r"penalty must be tanh in .*, but got l1"):
        Law.load(tmp_path / "law.json", penalty="tanh")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version must be 1"),
        ({"form": "surface9"}, "form must be local_line"),
        ({"units": "saelens"}, "units must be canonical"),
        ({"status": "certain"}, "status must be law or provisional"),
        ({"data_hash": None}, "data_hash must be in"),
        ({"target_l0": float("nan")}, "target_l0 must be finite"),
        (
            {"covariance": [[1.0, float("inf")], [0.0, 1.0]]},
            r"covariance\[0\]\[1\] must be finite",
        ),
        ({"covariance": [[1.0]]}, "covariance must be 2 x 2"),
        ({"covariance": [["a", 0.0], [0.0, 1.0]]}, "covariance must be 2 x 2 numbers"),
        ({"covariance": [[-1.0, 0.0], [0.0, 1.0]]}, "covariance must be positive semi-definite"),
        ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, "covariance must be positive semi-definite"),
        ({"target_l0": 0}, "target_l0 must lie between 1e-12 and .*, but got 0"),
        ({"target_l0": True}, "target_l0 must be in .*, but got True"),
        ({"recipe": {"learning_rate": "fast"}}, "recipe.learning_rate must be null or a number"),
        ({"parameters": {}}, "parameters.reference_width must be a number"),
        ({"shapes": []}, "shapes must hold one entry a width"),
        ({"shapes": [{"latent_dim": 1}]}, "shapes must hold one entry a width"),
    ],
)
def test_load_damaged_law_is_one_line(
    document: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
):
    with pytest.raises(AnalysisError, match=message):
        Law.load(write(tmp_path / "law.json", {**document, **change}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reference_width", 0),
        ("intercept", 1e6),
        ("between_width_scatter", -0.1),
        ("noise", -0.1),
        ("beta", 1e300),
    ],
)
def test_load_impossible_parameter_is_one_line(
    document: dict[str, Any], tmp_path: Path, name: str, value: float
):
    document["parameters"][name] = value
    with pytest.raises(AnalysisError, match=f"parameters.{name} must lie between"):
        Law.load(write(tmp_path / "law.json", document))


def test_load_number_beyond_floats_is_one_line(document: dict[str, Any], tmp_path: Path):
    document["parameters"]["intercept"] = 10**400
    with pytest.raises(AnalysisError, match=r"parameters\.intercept must be finite"):
        Law.load(write(tmp_path / "law.json", document))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent_dim", 0),
        ("log_alpha", -1e6),
        ("slope", 0),
        ("slope_sd", -0.1),
        ("curvature_sd", -0.1),
        ("l0_low", 0),
        ("l0_low", 1000.0),
        ("l0_high", -1),
    ],
)
def test_load_impossible_shape_is_one_line(
    document: dict[str, Any], tmp_path: Path, name: str, value: float
):
    document["shapes"][1][name] = value
    with pytest.raises(AnalysisError, match=rf"shapes\[1\]\.{name} must lie between"):
        Law.load(write(tmp_path / "law.json", document))


def test_load_widths_that_do_not_rise_are_refused(document: dict[str, Any], tmp_path: Path):
    document["shapes"].reverse()
    with pytest.raises(AnalysisError, match="shapes must rise in latent_dim"):
        Law.load(write(tmp_path / "law.json", document))


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_load_not_a_law_is_one_line(tmp_path: Path, text: str):
    (tmp_path / "law.json").write_text(text)
    with pytest.raises(AnalysisError, match="must hold"):
        Law.load(tmp_path / "law.json")


def test_load_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(AnalysisError, match="must be a readable law file"):
        Law.load(tmp_path / "none.json")


@pytest.mark.parametrize("target_l0", [0.15, 64, 200])
def test_alpha_for_a_fitted_width_of_a_file_is_that_of_its_own_runs(
    minilm: pd.DataFrame, tmp_path: Path, target_l0: float
):
    fit = refit(minilm, target_l0=target_l0)
    Law.from_refit(fit).save(tmp_path / "law.json")
    law = Law.load(tmp_path / "law.json", units=None)
    for width in fit.widths:
        star = width.alpha_star
        assert star is not None
        mean, sd = law.alpha_for(width.latent_dim, target_l0)
        assert math.exp(mean) == pytest.approx(star.value)
        assert 2 * Z_95 * sd == pytest.approx(math.log(star.high / star.low))


def test_alpha_for_a_fitted_width_without_an_interval_is_the_lines(law: Law):
    bare = replace(law, intervals={"beta": None, "alpha_star": []})
    mean, sd = bare.alpha_for(1024, 64)
    assert mean == pytest.approx(law.intercept + law.beta * math.log(1024 / law.reference_width))
    assert sd > law.alpha_for(1024, 64)[1]


@pytest.mark.parametrize(
    "star",
    [
        {"latent_dim": 512, "value": 2.0, "low": 3.0, "high": 4.0},
        {"latent_dim": 512, "value": 2.0, "low": 0.0, "high": 4.0},
        {"latent_dim": 512, "value": 2.0},
        "2",
    ],
)
def test_load_malformed_interval_is_refused(
    document: dict[str, Any], tmp_path: Path, star: object
):
    document["intervals"]["alpha_star"] = [star]
    with pytest.raises(AnalysisError, match=r"intervals.alpha_star must hold latent_dim"):
        Law.load(write(tmp_path / "law.json", document))
