import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import guide
from analysis.errors import AnalysisError


@pytest.mark.parametrize(
    ("latent_dim", "alpha"),
    [(16384, 1.0054e-5), (32768, 0.0010027), (65536, 0.1), (131072, 9.9733)],
)
def test_calculate_optimal_l1_alpha_common_widths_gives_the_law(
    latent_dim: int, alpha: float
) -> None:
    assert guide.calculate_optimal_l1_alpha(latent_dim) == pytest.approx(alpha, rel=1e-4)


@given(st.integers(1, 2**24), st.floats(0.001, 0.999))
def test_calculate_optimal_l1_alpha_any_width_equals_the_guides_expression(
    latent_dim: int, target_l0: float
) -> None:
    expected = 0.10 * (latent_dim / 65536) ** 6.64

    assert guide.calculate_optimal_l1_alpha(latent_dim, target_l0) == expected


@pytest.mark.parametrize("latent_dim", [0, -1])
def test_calculate_optimal_l1_alpha_width_not_positive_names_the_key(latent_dim: int) -> None:
    with pytest.raises(AnalysisError, match=f"latent_dim must be positive, but got {latent_dim}"):
        guide.calculate_optimal_l1_alpha(latent_dim)


@pytest.mark.parametrize(("alpha", "fraction"), [(0.0, 0.0731), (0.1, 0.04969), (0.5, 0.01061)])
def test_l0_fraction_at_stated_alphas_gives_the_curve(alpha: float, fraction: float) -> None:
    assert guide.l0_fraction_at(alpha) == pytest.approx(fraction, rel=1e-3)


def test_l0_fraction_at_negative_alpha_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"l1_alpha must not be negative, but got -0\.1"):
        guide.l0_fraction_at(-0.1)


@pytest.mark.parametrize(
    ("fraction", "alpha"), [(0.05, 0.098395), (0.045, 0.1257), (0.055, 0.0737)]
)
def test_alpha_at_reachable_target_inverts_the_curve(fraction: float, alpha: float) -> None:
    assert guide.alpha_at(fraction) == pytest.approx(alpha, rel=1e-3)


@given(st.floats(0, 20))
def test_alpha_at_undoes_l0_fraction_at(alpha: float) -> None:
    recovered = guide.alpha_at(guide.l0_fraction_at(alpha))

    assert math.isclose(recovered, alpha, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("fraction", [0.10, 0.0, -1.0, math.nan])
def test_alpha_at_unreachable_target_names_the_ceiling(fraction: float) -> None:
    with pytest.raises(AnalysisError, match=r"target_l0 must lie between 0 and the curve's ceil"):
        guide.alpha_at(fraction)


def test_complete_settings_agree_with_the_table_of_configurations() -> None:
    table = {row.latent_dim: row.l1_alpha for row in guide.COMMON_CONFIGURATIONS}

    assert {each.latent_dim: each.l1_alpha for each in guide.COMPLETE_SETTINGS.values()} == table


@pytest.mark.parametrize(("too_dense", "step"), [(True, (0.12, 0.13)), (False, (0.08, 0.07))])
def test_alpha_step_from_the_guides_example_gives_its_numbers(
    too_dense: bool, step: tuple[float, float]
) -> None:
    assert guide.alpha_step(0.10, too_dense=too_dense) == pytest.approx(step)


@pytest.mark.parametrize(
    ("ratio", "dead", "words"),
    [
        (1.2, 0.8, ["L0 is too high: alpha up 20-30 %, to 0.12 or 0.13"]),
        (0.8, 0.8, ["L0 is too low: alpha down 20-30 %, to 0.08 or 0.07"]),
        (1.05, 0.96, ["dead above 95 %: alpha down 5-10 %, to 0.095 or 0.09"]),
        (1.05, 0.95, []),
        (math.nan, math.nan, []),
    ],
)
def test_fine_tuning_advice_by_case_gives_the_guides_words(
    ratio: float, dead: float, words: list[str]
) -> None:
    advice = guide.fine_tuning_advice(0.10, l0_ratio=ratio, dead_fraction=dead)

    assert [line[: len(word)] for line, word in zip(advice, words, strict=True)] == words


def test_fine_tuning_advice_too_many_dead_names_both_remedies() -> None:
    (sentence,) = guide.fine_tuning_advice(0.10, l0_ratio=1, dead_fraction=0.97)

    assert sentence.endswith("learning-rate warm-up, auxiliary loss")
