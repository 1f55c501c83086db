from collections.abc import Callable

import pandas as pd
import pytest

from analysis.audit.beside import Beside, beside
from analysis.refitting import refit

MakeTrials = Callable[..., pd.DataFrame]


def by_quantity(trials: pd.DataFrame, target_l0: float = 64) -> dict[str, Beside]:
    found = beside(trials, refit(trials, target_l0=target_l0))
    return {each.quantity: each for each in found}


def test_beside_measured_exponent_excludes_the_guides(minilm: pd.DataFrame) -> None:
    exponent = by_quantity(minilm)["exponent of alpha in width"]

    assert (exponent.guide, exponent.agrees) == ("6.64", False)


def test_beside_measured_alpha_stands_against_the_formula(minilm: pd.DataFrame) -> None:
    alpha = by_quantity(minilm)["alpha at width 1024 for 64 active latents"]

    assert (alpha.guide, alpha.agrees) == ("1.02e-13", False)
    assert alpha.study.endswith("as_given units")


def test_beside_dead_latents_are_a_fraction_free_of_units(minilm: pd.DataFrame) -> None:
    dead = by_quantity(minilm)["dead latents"]

    assert (dead.study, dead.agrees) == ("0 % to 0.0980 % in 20 runs", False)


def test_beside_form_chosen_by_the_study_is_named(minilm: pd.DataFrame) -> None:
    form = by_quantity(minilm)["form of L0 against alpha"]

    assert "at width 512" in form.study
    assert form.agrees is not None


def test_beside_single_run_leaves_everything_open(make_trials: MakeTrials) -> None:
    found = by_quantity(make_trials([(1024, 2.0, 82.0)]))

    assert [each.agrees for each in found.values()] == [None] * 5
    assert found["exponent of alpha in width"].study.startswith("none: 0 bracketed widths")
    assert found["dead latents"].study == "not recorded"
    assert found["verdicts"].study == "no verdicts recorded"


def test_beside_point_without_interval_stays_open(make_trials: MakeTrials) -> None:
    found = by_quantity(make_trials([(1024, 2.0, 82.0), (1024, 4.0, 28.0)]))

    alpha = found["alpha at width 1024 for 64 active latents"]
    assert "0 d.o.f." in alpha.study
    assert alpha.agrees is None


@pytest.mark.parametrize(
    ("by_guide", "agrees", "words"),
    [
        (["failure", "warning"], False, "the same in 1 of 2 runs"),
        (["success", "warning"], True, "of 1 successes by our criteria the guide fails 0"),
    ],
)
def test_beside_verdicts_count_where_the_criteria_part(
    make_trials: MakeTrials, by_guide: list[str], agrees: bool, words: str
) -> None:
    trials = make_trials([(1024, 2.0, 82.0), (1024, 4.0, 28.0)])
    trials["verdict"] = pd.array(["success", "warning"], dtype="string")
    trials["guide_verdict"] = pd.array(by_guide, dtype="string")

    verdicts = by_quantity(trials)["verdicts"]

    assert words in verdicts.study
    assert verdicts.agrees is agrees
