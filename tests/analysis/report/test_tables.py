from pathlib import Path

import pandas as pd

from analysis.refitting import refit
from analysis.report.data import prepare
from analysis.report.tables import trials_table
from analysis.trials import load_trials


def written_again(trials: pd.DataFrame, path: Path, by: tuple[str, ...] = ()) -> pd.DataFrame:
    fit = refit(trials, target_l0=64, by=by)
    trials_table(prepare(trials, fit)).to_csv(path, index=False)
    return load_trials(path)


def test_trials_table_read_again_keeps_the_units_of_alpha(
    minilm: pd.DataFrame, tmp_path: Path
) -> None:
    assert written_again(minilm, tmp_path / "t.csv").attrs["units"] == "as_given"


def test_trials_table_read_again_has_the_same_groups(minilm: pd.DataFrame, tmp_path: Path) -> None:
    width = minilm["latent_dim"]
    trials = minilm.assign(
        layer=3 + 2 * (width == 2048),
        activations=(width == 1024).map({True: "one", False: "other"}),
        recipe=(width == 4096).map({True: "abc", False: "def"}),
        corpus=minilm.index % 2,
    ).assign(**{"trainer.warmup": width})
    by = ("corpus",)
    again = written_again(trials, tmp_path / "t.csv", by)

    first, second = (refit(each, target_l0=64, by=by) for each in (trials, again))

    assert len(first.others) == 7
    assert [fit.recipe for fit in (second, *second.others)] == [
        fit.recipe for fit in (first, *first.others)
    ]


def test_trials_table_read_again_leaves_out_the_same_runs(
    minilm: pd.DataFrame, tmp_path: Path
) -> None:
    steered = (minilm["latent_dim"] == 512).map({True: "controlled", False: "fixed"})
    trials = minilm.assign(alpha_mode=steered)
    again = written_again(trials, tmp_path / "t.csv")

    excluded = refit(trials, target_l0=64).exclusions

    assert len(excluded) == 5
    assert refit(again, target_l0=64).exclusions == excluded
