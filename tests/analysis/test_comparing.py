from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.comparing import compare_studies
from analysis.errors import AnalysisError

MakeTrials = Callable[..., pd.DataFrame]

ROWS = [(1024, 1.0, 180.0), (1024, 2.4, 65.0), (1024, 2.5, 63.0), (1024, 4.0, 28.0)]


@pytest.fixture(name="studies")
def fixture_studies(make_trials: MakeTrials, tmp_path: Path) -> list[Path]:
    first = make_trials(ROWS, wall_s=10.0, tokens=1000, dead_fraction=0.1)
    first["fvu"] = [0.1, 0.3, 0.2, 0.4]
    second = make_trials([*ROWS, (2048, 3.0, 30.0)], wall_s=20.0)
    paths = [tmp_path / "first.csv", tmp_path / "second.csv"]
    for path, trials in zip(paths, (first, second), strict=True):
        trials.to_csv(path, index=False)
    return paths


def test_compare_studies_joins_rows_of_one_cell(studies: list[Path]) -> None:
    cells = compare_studies(studies, 64).cells

    assert cells[["latent_dim", "study"]].to_numpy().tolist() == [
        [1024, "first.csv"],
        [1024, "second.csv"],
        [2048, "second.csv"],
    ]


def test_compare_studies_counts_trials_and_compute(studies: list[Path]) -> None:
    cells = compare_studies(studies, 64).cells

    assert cells["trials"].tolist() == [4, 4, 1]
    assert cells["trials_to_band"].tolist() == [2, 2, pd.NA]
    assert cells["wall_s"].tolist() == [40.0, 80.0, 20.0]
    assert cells["tokens"].iloc[0] == 4000
    assert cells["tokens"].isna().tolist() == [False, True, True]


def test_compare_studies_best_is_the_lowest_fvu_in_band(studies: list[Path]) -> None:
    best = compare_studies(studies, 64).cells.iloc[0]

    assert (best["best_fvu"], best["best_l0"], best["best_dead"]) == (0.2, 63.0, 0.1)


def test_compare_studies_cell_without_alpha_says_why(studies: list[Path]) -> None:
    cell = compare_studies(studies, 64).cells.iloc[2]

    assert pd.isna(cell["alpha"])
    assert cell["reason"] == "1 alpha: a point, no curve"


def test_compare_studies_fronts_keep_runs_that_none_beats(studies: list[Path]) -> None:
    fronts = compare_studies(studies, 64).fronts

    assert fronts["study"].unique().tolist() == ["first.csv"]
    assert fronts["l0"].tolist() == [28.0, 63.0, 180.0]


def test_compare_studies_same_study_twice_is_refused(studies: list[Path]) -> None:
    with pytest.raises(AnalysisError, match=r"must be different ones, but got .*first\.csv"):
        compare_studies([studies[0], studies[0]], 64)


def test_compare_studies_one_file_name_in_two_folders_is_told_apart(
    studies: list[Path], tmp_path: Path
) -> None:
    copies = [tmp_path / "a" / "trials.csv", tmp_path / "b" / "trials.csv"]
    for path, study in zip(copies, studies, strict=True):
        path.parent.mkdir()
        path.write_text(study.read_text())

    cells = compare_studies(copies, 64).cells

    assert cells["study"].unique().tolist() == ["a/trials.csv", "b/trials.csv"]


def test_compare_studies_counts_wasted_trials(make_trials: MakeTrials, tmp_path: Path) -> None:
    trials = make_trials([(1024, 9.0, 5.0), (1024, 8.0, 6.0), *ROWS], wall_s=10.0)
    trials.loc[:1, "state"] = ["pruned", "diverged"]
    trials.to_csv(tmp_path / "waste.csv", index=False)

    (cell,) = compare_studies([tmp_path / "waste.csv"], 64).cells.to_dict(orient="records")

    assert (cell["trials"], cell["trials_to_band"], cell["wall_s"]) == (6, 4, 60.0)


@pytest.mark.parametrize(
    ("column", "value"), [("learning_rate", 3e-3), ("batch_size", 64), ("d_in", 768), ("layer", 5)]
)
def test_compare_studies_another_recipe_is_another_cell(
    studies: list[Path], column: str, value: float
) -> None:
    trials = pd.read_csv(studies[1])
    trials[column] = value
    trials.to_csv(studies[1], index=False)

    compared = compare_studies(studies, 64)

    sizes = compared.cells.groupby(compared.cell_columns, dropna=False).size()
    assert sizes.tolist() == [1, 1, 1]
    assert len(compared.also_differ) == 1


def test_compare_studies_a_files_own_units_are_another_cell_and_noted(studies: list[Path]) -> None:
    trials = pd.read_csv(studies[1])
    trials.drop(columns="alpha_canonical").to_csv(studies[1], index=False)

    compared = compare_studies(studies, 64)

    assert compared.also_differ == ["units"]
    assert "not canonical: second.csv" in compared.notes[0]


def test_compare_studies_sweeps_of_sources_must_be_one_or_as_many(studies: list[Path]) -> None:
    with pytest.raises(AnalysisError, match="must be given once, or once for each of 1"):
        compare_studies(studies[:1], 64, ["a", "b"])


def test_compare_studies_name_of_a_sweep_is_for_the_storages(
    studies: list[Path], tmp_path: Path
) -> None:
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path}/many.db"
    for name in ("one", "two"):
        study = optuna.create_study(storage=url, study_name=f"{name}/cell")
        record = {
            "trial": 0,
            "state": "complete",
            "latent_dim": 1024,
            "l1_alpha": 1.0,
            "alpha_canonical": 1.0,
            "l0": 180.0,
        }
        study.add_trial(optuna.trial.create_trial(value=0.0, user_attrs={"record": record}))

    cells = compare_studies([studies[0], url], 64, ["two"]).cells

    assert set(cells["study"]) == {"first.csv", "many.db"}


def test_compare_studies_name_of_a_sweep_without_storages_is_refused(studies: list[Path]) -> None:
    with pytest.raises(AnalysisError, match="study_name must be left out for"):
        compare_studies(studies, 64, ["two"])
