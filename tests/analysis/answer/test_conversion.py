import json
from pathlib import Path
from typing import Any

import pytest

from analysis.answer import Activations, AlphaAnswer, convert, read_activations
from analysis.errors import AnalysisError
from analysis.units import ActivationScale

NORMS: dict[str, Any] = {
    "d_in": 384,
    "centred_rms_norm": 20.0,
    "raw_mean_norm": 25.0,
    "raw_rms_norm": 26.0,
}
DATA = Activations(name="minilm", scale=ActivationScale(**NORMS))


def answer(**changes: Any) -> AlphaAnswer:
    values: dict[str, Any] = {
        "latent_dim": 1024,
        "target_count": 64.0,
        "alpha": 2.0,
        "low": 1.0,
        "high": None,
        "units": "canonical",
        "basis": "",
        "status": "law",
        "recipe": {"penalty": "l1", "d_in": 384, "activations": "minilm"},
        "notes": (),
    }
    return AlphaAnswer(**(values | changes))


def test_convert_to_saelens_scales_alpha_and_interval() -> None:
    converted = convert(answer(), "saelens", DATA)

    # The same data scaled by c wants c times alpha: sqrt(d_in) / E||r|| over sqrt(d_in) / rms.
    assert converted.alpha == pytest.approx(2.0 * 20.0 / 25.0)
    assert converted.low == pytest.approx(1.0 * 20.0 / 25.0)
    assert (converted.high, converted.units) == (None, "saelens")


def test_convert_to_the_guides_units_says_that_it_assumes() -> None:
    converted = convert(answer(), "guide")

    assert converted.alpha == 2.0
    assert "This is an assumption." in converted.notes[-1]


def test_convert_without_norms_names_what_is_missing() -> None:
    with pytest.raises(AnalysisError, match=r"activations must name the folder .*--activations"):
        convert(answer(), "saelens")


def test_convert_of_an_l0_penalty_scales_by_the_square() -> None:
    converted = convert(answer(recipe={"penalty": "l0"}), "saelens", DATA)

    assert converted.alpha == pytest.approx(2.0 * (20.0 / 25.0) ** 2)


def test_convert_of_a_tanh_penalty_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"penalty must be one of l1, .* but got 'tanh'"):
        convert(answer(recipe={"penalty": "tanh"}), "saelens", DATA)


def test_convert_of_an_unknown_penalty_says_what_it_takes_it_for() -> None:
    converted = convert(answer(recipe={"penalty": None}), "saelens", DATA)

    assert converted.notes == ("The penalty is not recorded; alpha is converted as an L1's.",)


def test_convert_by_norms_of_another_dimension_is_refused() -> None:
    with pytest.raises(AnalysisError, match="must have the d_in of the runs, 2304, but got 384"):
        convert(answer(recipe={"penalty": "l1", "d_in": 2304}), "saelens", DATA)


def test_convert_by_norms_of_other_activations_says_so() -> None:
    recipe = {"penalty": "l1", "d_in": 384, "activations": "another layer"}

    converted = convert(answer(recipe=recipe), "saelens", DATA)

    assert converted.notes == ("Converted by the norms of minilm; the runs are on another layer.",)


def test_convert_from_a_files_own_units_is_refused() -> None:
    with pytest.raises(AnalysisError, match="units must be canonical to convert"):
        convert(answer(units="as_given"), "saelens")


def test_read_activations_reads_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "minilm", **NORMS}))

    assert read_activations(tmp_path) == DATA


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"d_in": "x"}'])
def test_read_activations_broken_manifest_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(AnalysisError, match="must hold d_in and three norms"):
        read_activations(tmp_path)


def test_read_activations_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"activations must hold a manifest\.json"):
        read_activations(tmp_path)
