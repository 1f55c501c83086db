from collections.abc import Callable

import pandas as pd
import pytest

from analysis.cells import widths_of
from analysis.useless_runs import useless_around_target

MakeTrials = Callable[..., pd.DataFrame]
ROWS = [(1024, 1.0, 100.0), (1024, 2.0, 50.0), (1024, 4.0, 25.0)]


def found(trials: pd.DataFrame, target_l0: float) -> tuple[str, ...]:
    [width], _ = widths_of(trials, target_l0)
    return useless_around_target(width)


def test_useless_around_target_collapsed_run_is_named_with_its_row_and_reason(
    make_trials: MakeTrials,
):
    trials = make_trials(ROWS).assign(fvu=[0.2, 0.3, 0.982])
    assert found(trials, 30) == (
        "row 2, at alpha 4.00 next to the target, is of no use: "
        "collapsed: fvu 0.982, from 0.95 on nothing is left",
    )


def test_useless_around_target_dead_run_is_named(make_trials: MakeTrials):
    trials = make_trials(ROWS).assign(dead_fraction=[0.0, 0.0, 0.97])
    assert "97.0 % of the latents are dead" in found(trials, 30)[0]


def test_useless_around_target_collapsed_run_elsewhere_says_nothing(make_trials: MakeTrials):
    assert found(make_trials(ROWS).assign(fvu=[0.2, 0.3, 0.982]), 64) == ()


@pytest.mark.parametrize("target_l0", [30, 400])
def test_useless_around_target_unknown_or_unbracketed_says_nothing(
    make_trials: MakeTrials, target_l0: float
):
    assert found(make_trials(ROWS), target_l0) == ()
