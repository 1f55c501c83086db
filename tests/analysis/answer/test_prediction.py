import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.answer import predict
from analysis.errors import AnalysisError
from analysis.law import Law
from analysis.refitting import refit
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]


@pytest.fixture(name="curves")
def fixture_curves(data: Path) -> Path:
    return data / "l0_curves_minilm_layer3.csv"


def two_layers(make_trials: MakeTrials) -> pd.DataFrame:
    """Layer 1 has the largest group, layer 2 the most runs over all budgets."""
    alphas = (1.0, 1.4, 2.0, 2.8)
    tables = [
        make_trials([(1024, a, 64 * 600 / steps / a) for a in own], total_steps=steps)
        for steps, own in ((600, alphas), (1200, alphas[:2]))
    ]
    tables += [
        make_trials(
            [(1024, 10 * a, 64 * 600 / steps / a) for a in alphas[:3]],
            total_steps=steps,
            activations="layer 2",
        )
        for steps in (600, 1200, 2400)
    ]
    tables[:2] = [table.assign(activations="layer 1") for table in tables[:2]]
    return pd.concat(tables, ignore_index=True)


def rows(tmp_path: Path, *points: tuple[int, float, float]) -> Path:
    path = tmp_path / "rows.csv"
    pd.DataFrame(points, columns=["latent_dim", "l1_alpha", "l0"]).to_csv(path, index=False)
    return path


def test_predict_width_with_runs_is_the_refits(curves: Path, minilm: pd.DataFrame) -> None:
    answer = predict(curves, latent_dim=2048, target_l0=0.05)

    width = refit(minilm, target_l0=0.05).width(2048)
    assert width is not None
    assert width.alpha_star is not None
    assert (answer.alpha, answer.low) == (width.point, width.alpha_star.low)
    assert answer.basis == "5 runs of this width"


def test_predict_width_between_runs_comes_from_their_law(curves: Path) -> None:
    answer = predict(curves, latent_dim=1500, target_l0=0.05)

    assert answer.basis == "these runs, between widths 512 to 4096"
    assert answer.low is not None
    assert answer.high is not None
    assert answer.low < answer.alpha < answer.high


def test_predict_width_beyond_runs_is_called_extrapolated(curves: Path) -> None:
    answer = predict(curves, latent_dim=16384, target_l0=0.05)

    assert "extrapolated from widths 512 to 4096" in answer.basis


def test_predict_width_whose_runs_do_not_bracket_comes_from_the_law(
    minilm: pd.DataFrame, tmp_path: Path
) -> None:
    dense = (minilm["latent_dim"] == 4096) & (minilm["alpha_canonical"] > 1)
    path = tmp_path / "rows.csv"
    minilm[~dense][["latent_dim", "l1_alpha", "l0"]].to_csv(path, index=False)

    answer = predict(path, latent_dim=4096, target_l0=64)

    assert answer.basis == "these runs, extrapolated from widths 512 to 2048"


@pytest.mark.parametrize(
    ("own", "side"),
    [
        (((2048, 1.5, 400.0), (2048, 2.0, 300.0), (2048, 2.5, 200.0)), "above"),
        (((2048, 1.5, 9.0), (2048, 2.5, 6.0)), "below"),
    ],
)
def test_predict_law_on_the_wrong_side_of_the_widths_own_runs_is_refused(
    tmp_path: Path, own: tuple[tuple[int, float, float], ...], side: str
) -> None:
    others = [
        (width, alpha, l0)
        for width in (512, 1024, 4096, 8192)
        for alpha, l0 in ((1.0, 74.0), (2.0, 32.0), (4.0, 14.0))
    ]
    path = rows(tmp_path, *others, *own)

    with pytest.raises(AnalysisError, match=rf"so that alpha lies {side} it; run width 2048"):
        predict(path, latent_dim=2048, target_l0=32)


def test_predict_law_file_gives_its_prediction(tmp_path: Path, minilm: pd.DataFrame) -> None:
    path = tmp_path / "law.json"
    law = Law.from_refit(refit(minilm, target_l0=64))
    law.save(path)

    answer = predict(path, latent_dim=1024, target_l0=64)

    mean, _ = law.alpha_for(1024, 64)
    assert answer.alpha == pytest.approx(math.exp(mean))
    assert answer.basis == "law.json, from the runs of width 1024"


@pytest.mark.parametrize("factor", [1e3, 1e9])
def test_predict_law_that_does_not_bound_alpha_has_no_interval_and_says_so(
    make_trials: MakeTrials, factor: float
) -> None:
    points = [(w, alpha, 64 / alpha) for w in (512, 1024) for alpha in (1.0, 2.0, 4.0)]
    law = Law.from_refit(refit(make_trials(points), target_l0=32))
    loose = replace(law, covariance=((0.0, 0.0), (0.0, factor)))

    answer = predict(loose, latent_dim=65536, target_l0=32)

    assert (answer.low, answer.high) == (None, None)
    assert answer.notes[0].startswith("the runs do not bound alpha here: its interval would span")


def test_predict_law_whose_alpha_no_float_holds_is_refused(
    make_trials: MakeTrials,
) -> None:
    points = [(w, alpha, 64 / alpha) for w in (512, 1024) for alpha in (1.0, 2.0, 4.0)]
    law = Law.from_refit(refit(make_trials(points), target_l0=32))
    wild = replace(law, beta=1e6)

    with pytest.raises(AnalysisError, match=r"^alpha must lie .*but got ln alpha"):
        predict(wild, latent_dim=65536, target_l0=32)


def test_predict_law_of_one_width_says_whose_exponent(
    tmp_path: Path, minilm: pd.DataFrame
) -> None:
    one = minilm[minilm["latent_dim"] == 1024]
    path = tmp_path / "law.json"
    Law.from_refit(refit(one, target_l0=64)).save(path)

    answer = predict(path, latent_dim=2048, target_l0=64)

    assert "the single width 1024, with theory's exponent" in answer.basis


def test_predict_two_alphas_has_no_interval(tmp_path: Path) -> None:
    path = rows(tmp_path, (1024, 2.0, 82.0), (1024, 4.0, 28.0))

    answer = predict(path, latent_dim=1024, target_l0=64)

    assert (answer.low, answer.high) == (None, None)
    assert 2 < answer.alpha < 4
    assert any("0 d.o.f." in note for note in answer.notes)


def test_predict_two_alphas_at_every_width_allow_no_alpha_between(tmp_path: Path) -> None:
    points = [(512, 1.5, 48.0), (512, 5.0, 11.3), (2048, 1.5, 73.0), (2048, 5.0, 17.0)]

    with pytest.raises(AnalysisError, match="no width has the 3 alphas that an interval needs"):
        predict(rows(tmp_path, *points), latent_dim=1024, target_l0=25)


def test_predict_target_not_bracketed_is_refused_with_the_run_to_do(tmp_path: Path) -> None:
    path = rows(tmp_path, (1024, 2.0, 82.0), (1024, 4.0, 70.0))

    with pytest.raises(AnalysisError, match=r"no alpha may be named .* run width 1024 at alpha"):
        predict(path, latent_dim=1024, target_l0=64)


def test_predict_unknown_width_without_exponent_is_refused(tmp_path: Path) -> None:
    path = rows(tmp_path, (1024, 2.0, 82.0), (1024, 4.0, 28.0), (1024, 3.0, 45.0))

    with pytest.raises(AnalysisError, match="no usable run has this width and 1 bracketed width"):
        predict(path, latent_dim=4096, target_l0=64)


def test_predict_target_above_the_width_is_refused(curves: Path) -> None:
    with pytest.raises(AnalysisError, match="target_l0 must be above 0 and at most latent_dim"):
        predict(curves, latent_dim=512, target_l0=600)


def test_predict_longer_training_comes_from_the_surface(data: Path) -> None:
    budgets = load_trials(data / "l0_budget_minilm_layer3.csv")
    short = budgets[(budgets["total_steps"] <= 1200) & (budgets["latent_dim"] == 1024)]

    answer = predict(short, latent_dim=1024, target_l0=29.9, total_steps=4800)

    assert answer.alpha == pytest.approx(1.5, rel=0.15)
    assert answer.low is not None
    assert answer.high is not None
    assert answer.low < 1.5 < answer.high
    assert answer.recipe["total_steps"] == 4800
    assert "extrapolated in budget" in answer.notes


def test_predict_longer_training_goes_by_the_budgets_of_its_own_layer(
    make_trials: MakeTrials,
) -> None:
    trials = two_layers(make_trials)

    answer = predict(trials, latent_dim=1024, target_l0=32, total_steps=1200)

    # Layer 2, which has more runs, says 10.
    assert answer.alpha == pytest.approx(1.0, rel=0.1)
    assert answer.recipe["activations"] == "layer 1"


def test_predict_longer_training_says_that_groups_are_fitted_apart(
    make_trials: MakeTrials,
) -> None:
    answer = predict(two_layers(make_trials), latent_dim=1024, target_l0=32, total_steps=1200)

    assert any("5 groups of runs" in note for note in answer.notes)


def test_predict_width_between_runs_says_that_groups_are_fitted_apart(
    minilm: pd.DataFrame,
) -> None:
    trials = minilm.assign(layer=["1"] * (len(minilm) - 1) + ["2"])

    answer = predict(trials, latent_dim=1500, target_l0=0.05)

    assert any("2 groups of runs (layer differ)" in note for note in answer.notes)


def test_predict_longer_training_of_a_width_without_an_exponent_is_refused(
    make_trials: MakeTrials,
) -> None:
    trials = make_trials([(1024, alpha, 80 / alpha) for alpha in (1.5, 2.5, 4.0)])
    with pytest.raises(AnalysisError, match="no alpha may be named for latent_dim 8192"):
        predict(trials, latent_dim=8192, target_l0=32, total_steps=1200)


def test_predict_longer_training_of_two_alphas_is_refused(make_trials: MakeTrials) -> None:
    short = make_trials([(1024, 2.5, 58.0), (1024, 4.0, 27.6)])
    trials = pd.concat([short, make_trials([(1024, 1.5, 70.0)], total_steps=1200)])
    with pytest.raises(AnalysisError, match="2 alphas: the line through 2 points"):
        predict(trials, latent_dim=1024, target_l0=32, total_steps=1200)


def two_depths(make_trials: MakeTrials) -> pd.DataFrame:
    """Layer 3 at widths 512 and 1024, layer 5 at 2048 with alphas that are ten times as large."""
    alphas = (1.0, 2.0, 4.0)
    third = make_trials([(width, a, 64 / a) for width in (512, 1024) for a in alphas])
    fifth = make_trials([(2048, 10 * a, 64 / a) for a in alphas])
    return pd.concat([third.assign(layer=3), fifth.assign(layer=5)], ignore_index=True)


def test_predict_width_of_another_group_is_that_groups_and_names_it(
    make_trials: MakeTrials,
) -> None:
    answer = predict(two_depths(make_trials), latent_dim=2048, target_l0=32)

    assert answer.alpha == pytest.approx(20, rel=0.02)
    assert answer.basis == "3 runs of this width"
    assert answer.recipe["searched"] == {"layer": 5}
    assert "this answer is that of the runs with layer=5" in answer.notes
    assert any("layer=3; layer=5" in note for note in answer.notes)


def test_predict_width_of_no_group_is_the_largests_and_names_it(make_trials: MakeTrials) -> None:
    answer = predict(two_depths(make_trials), latent_dim=4096, target_l0=32)

    assert answer.recipe["searched"] == {"layer": 3}
    assert "this answer is that of the runs with layer=3" in answer.notes


def test_predict_where_answers_by_these_trials_alone(make_trials: MakeTrials) -> None:
    answer = predict(two_depths(make_trials), latent_dim=2048, target_l0=32, where=["layer=3"])

    assert answer.basis == "these runs, extrapolated from widths 512 to 1024"
    assert not any("groups of runs" in note for note in answer.notes)


@pytest.mark.parametrize("is_law", [True, False])
def test_predict_name_of_a_study_where_there_is_one_is_refused(
    minilm: pd.DataFrame, is_law: bool
) -> None:
    source = Law.from_refit(refit(minilm, target_l0=0.05)) if is_law else minilm
    with pytest.raises(AnalysisError, match="study_name must be left out for"):
        predict(source, latent_dim=1024, target_l0=0.05, study_name="x")


def test_predict_where_of_a_law_is_refused(minilm: pd.DataFrame) -> None:
    law = Law.from_refit(refit(minilm, target_l0=0.05))
    with pytest.raises(AnalysisError, match="where must be left out for a law"):
        predict(law, latent_dim=2048, target_l0=0.05, where=["layer=3"])


def test_predict_law_at_another_budget_names_its_exponent(minilm: pd.DataFrame) -> None:
    law = Law.from_refit(refit(minilm.assign(learning_rate=1e-3, total_steps=600), target_l0=64))

    usual = predict(law, latent_dim=1024, target_l0=64)
    longer = predict(law, latent_dim=1024, target_l0=64, learning_rate=2e-3)

    assert longer.alpha / usual.alpha == pytest.approx(2**-0.45)
    assert "assumed: one budget was run" in longer.notes[0]


@pytest.mark.parametrize(
    "planned", [{"total_steps": 0}, {"learning_rate": -1e-3}, {"learning_rate": math.inf}]
)
def test_predict_training_that_is_not_positive_is_refused(
    curves: Path, planned: dict[str, Any]
) -> None:
    name, value = next(iter(planned.items()))

    with pytest.raises(
        AnalysisError, match=f"{name} must be positive and finite, but got {value}"
    ):
        predict(curves, latent_dim=1024, target_l0=64, **planned)


def test_predict_rate_that_no_run_records_is_refused(data: Path) -> None:
    with pytest.raises(AnalysisError, match="learning_rate must be left out"):
        predict(
            data / "l0_budget_minilm_layer3.csv",
            latent_dim=1024,
            target_l0=32,
            learning_rate=1e-3,
        )


def test_predict_law_file_between_its_widths_says_which(minilm: pd.DataFrame, tmp_path: Path):
    Law.from_refit(refit(minilm, target_l0=64)).save(tmp_path / "law.json")
    answer = predict(tmp_path / "law.json", latent_dim=1500, target_l0=64)
    assert answer.basis == "law.json, between widths 512 to 4096"
