import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.records import COLUMNS
from analysis.trials import load_trials, trials_from_records
from analysis.typed_tables import units_of

DATA = Path(__file__).parents[1] / "data"
MINILM = DATA / "l0_curves_minilm_layer3.csv"


def record(number: int, **changes: Any) -> dict[str, Any]:
    base = {
        "trial": number,
        "state": "complete",
        "latent_dim": 512,
        "l1_alpha": 1.0 + number,
        "alpha_canonical": 2.0 + number,
        "l0": 40.0 - number,
        "l0_fraction": (40.0 - number) / 512,
        "converged": True,
        "verdict_reasons": ["one", "two"],
        "prior_weights": {"theory": 0.9, "guide": 0.1},
    }
    return {**base, **changes}


def write_study(folder: Path, records: list[dict[str, Any]]) -> Path:
    for each in records:
        trial = folder / f"trial_{each['trial']:05d}"
        trial.mkdir(parents=True)
        (trial / "result.json").write_text(json.dumps(each))
    return folder


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_load_trials_csv_has_every_column_with_its_dtype():
    table = load_trials(MINILM)
    own = table.drop(columns="alpha_units")
    assert [str(name) for name in own.columns] == [column.name for column in COLUMNS]
    assert [str(dtype) for dtype in own.dtypes] == [column.dtype for column in COLUMNS]
    assert len(table) == 20


def test_load_trials_csv_without_canonical_alpha_takes_its_own_units_and_says_so():
    table = load_trials(MINILM)
    assert table["alpha_canonical"].tolist() == table["l1_alpha"].tolist()
    assert "in the file's own units" in table.attrs["notes"][0]
    assert table.attrs["units"] == "as_given"


def test_load_trials_csv_comment_lines_are_skipped():
    assert len(load_trials(DATA / "l0_curve_saelens_719.csv")) == 7


def test_load_trials_csv_hash_in_a_value_is_kept(tmp_path: Path):
    text = "name,latent_dim,l1_alpha,l0,activations\nrun #1,1024,1,80,acts#1.npy\n"
    table = load_trials(write_csv(tmp_path / "t.csv", text))
    assert table[["name", "l0", "activations"]].iloc[0].tolist() == ["run #1", 80, "acts#1.npy"]


def test_load_trials_csv_hash_line_of_a_quoted_value_is_kept(tmp_path: Path):
    text = 'latent_dim,l1_alpha,l0,error\n1024,1,80,"one\n# ""two"""\n# "comment\n1024,2,50,\n'
    table = load_trials(write_csv(tmp_path / "t.csv", text))
    assert table["error"].fillna("").tolist() == ['one\n# "two"', ""]


def test_load_trials_csv_error_names_the_line_of_the_file(tmp_path: Path):
    text = "# why\n  # how\nlatent_dim,l1_alpha,l0\n1,1,1\n1,1,1,1\n"
    with pytest.raises(AnalysisError, match="line 5 has 4 fields, the header 3"):
        load_trials(write_csv(tmp_path / "t.csv", text))


def test_load_trials_csv_with_fraction_only_computes_l0(tmp_path: Path):
    path = write_csv(tmp_path / "t.csv", "latent_dim,l1_alpha,l0_fraction\n1000,1,0.05\n")
    assert load_trials(path)["l0"].tolist() == [50.0]


def test_load_trials_study_reads_every_result_and_flattens_lists(tmp_path: Path):
    table = load_trials(write_study(tmp_path / "study", [record(1), record(0)]))
    assert table["trial"].tolist() == [0, 1]
    assert table["alpha_canonical"].tolist() == [2.0, 3.0]
    assert table["verdict_reasons"].tolist() == ["one; two"] * 2
    assert json.loads(table["prior_weights"][0]) == {"theory": 0.9, "guide": 0.1}
    assert table.attrs["units"] == "canonical"


def test_load_trials_truncated_result_is_named_and_left_out(tmp_path: Path):
    folder = write_study(tmp_path / "study", [record(0), record(1)])
    broken = folder / "trial_00001" / "result.json"
    broken.write_text(broken.read_text()[:40])
    table = load_trials(folder)
    assert len(table) == 1
    assert [problem["source"] for problem in table.attrs["problems"]] == [str(broken)]


@pytest.mark.parametrize("text", ['{"state": "complete", "l0": NaN}', "[1, 2]", '{"l0": 3}'])
def test_load_trials_invalid_result_is_named_and_left_out(tmp_path: Path, text: str):
    folder = write_study(tmp_path / "study", [record(0), record(1)])
    (folder / "trial_00001" / "result.json").write_text(text)
    assert "not a valid trial record" in load_trials(folder).attrs["problems"][0]["reason"]


def test_load_trials_study_with_no_readable_trial_is_refused(tmp_path: Path):
    folder = write_study(tmp_path / "study", [record(0)])
    (folder / "trial_00000" / "result.json").write_text("{")
    with pytest.raises(
        AnalysisError, match=r"at least one trial.*1 could not be read; the first: not a"
    ):
        load_trials(folder)


def test_load_trials_single_result_is_one_row(tmp_path: Path):
    folder = write_study(tmp_path / "study", [record(3)])
    assert len(load_trials(folder / "trial_00003" / "result.json")) == 1


def test_load_trials_searched_key_is_kept(tmp_path: Path):
    folder = write_study(tmp_path / "study", [record(0, **{"trainer.warmup": 50})])
    assert load_trials(folder)["trainer.warmup"].tolist() == [50]


def test_load_trials_parquet_round_trips_the_table(tmp_path: Path):
    table = load_trials(write_study(tmp_path / "study", [record(0), record(1)]))
    table.attrs = {}
    table.to_parquet(tmp_path / "t.parquet")
    again = load_trials(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(again, table, check_like=False)


def test_load_trials_csv_round_trips_the_table(tmp_path: Path):
    table = load_trials(write_study(tmp_path / "study", [record(0), record(1)]))
    table.to_csv(tmp_path / "t.csv", index=False)
    again = load_trials(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_load_trials_other_separators_are_read(tmp_path: Path, separator: str):
    text = "latent_dim,l1_alpha,l0\n512,1.5,100\n".replace(",", separator)
    (tmp_path / "t.csv").write_text(text)
    assert load_trials(tmp_path / "t.csv")["l1_alpha"].tolist() == [1.5]


def test_load_trials_list_of_sources_is_one_table(tmp_path: Path):
    one = write_study(tmp_path / "one", [record(0)])
    other = write_study(tmp_path / "other", [record(0), record(1)])
    table = load_trials([one, other])
    assert table["trial"].tolist() == [0, 0, 1]
    assert table.index.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latent_dims,l1_alpha,l0\n1,1,1\n", "latent_dim must.*nearest column is 'latent_dims'"),
        ("latent_dim,L1_alpha,l0\n1,1,1\n", "l1_alpha must.*nearest column is 'L1_alpha'"),
        ("d_sae,l1_alpha,l0\n1,1,1\n", "latent_dim must.*nearest column is 'd_sae'"),
        ("latent_dim,l1_coefficient,l0\n1,1,1\n", "l1_alpha must.*column is 'l1_coefficient'"),
        (
            "config/d_sae,config/l1_coefficient,summary/metrics/l0\n1,1,1\n",
            "latent_dim must.*nearest column is 'config/d_sae'",
        ),
        (
            "latent_dim,config/l1_coefficient,summary/metrics/l0\n1,1,1\n",
            "l1_alpha must.*nearest column is 'config/l1_coefficient'",
        ),
        (
            "latent_dim,l1_alpha,summary/metrics/l0\n1,1,1\n",
            "l0 must.*nearest column is 'summary/metrics/l0'",
        ),
        ("latent_dim,l1_alpha,l0_frac\n1,1,1\n", "l0 must.*nearest column is 'l0_frac'"),
        ("latent_dim,l1_alpha,l0\n", "at least one trial"),
        ("latent_dim,l1_alpha,l0\n512,low,3\n", "l1_alpha must be a number, but row 0 has 'low'"),
        (
            "latent_dim,l1_alpha,l0\n512.5,1,3\n",
            "latent_dim must be a whole number, but got 512.5",
        ),
        ("latent_dim,l1_alpha,l0\ninf,1,3\n", "latent_dim must be a whole number, but got inf"),
        ("latent_dim,l1_alpha,l0\n1e30,1,3\n", r"latent_dim must lie between .*, but got 1e\+30"),
        (
            "latent_dim,l1_alpha,l0,seed\n512,1,3,18446744073709551615\n",
            "seed must lie between -2\\^63 and 2\\^63, but got 18446744073709551615",
        ),
        ("latent_dim,l1_alpha,l0,converged\n512,1,3,maybe\n", "converged must be true or false"),
        (
            "latent_dim,l1_alpha,l0,objective\n512,1,3,saelens\n512,1,3,canonical\n",
            "objective must be one for all rows.*canonical, saelens",
        ),
        (
            "latent_dim,l1_alpha,l0,penalty\n512,1,3,l1\n512,1,3,tanh\n",
            "penalty must be one for all rows.*l1, tanh",
        ),
        ("latent_dim,l1_alpha,l0,l0\n512,1,3,4\n", "column 'l0' is there twice"),
        ("", "must be a readable table"),
        ('latent_dim,l1_alpha,l0\n1,2,3\n1,2,3,4,5\n"', "must be a readable table"),
    ],
)
def test_load_trials_bad_csv_is_one_line(tmp_path: Path, text: str, message: str):
    path = write_csv(tmp_path / "t.csv", text)
    with pytest.raises(AnalysisError, match=message) as caught:
        load_trials(path)
    assert "\n" not in str(caught.value)


def test_load_trials_largest_seed_is_kept_exactly(tmp_path: Path):
    text = "latent_dim,l1_alpha,l0,seed\n512,1,3,9223372036854775807\n"
    assert load_trials(write_csv(tmp_path / "t.csv", text))["seed"].tolist() == [2**63 - 1]


def test_load_trials_not_a_table_gives_a_short_line(tmp_path: Path):
    path = write_csv(
        tmp_path / "t.csv", ",".join(f"column{number}\x00" * 9 for number in range(99))
    )
    with pytest.raises(AnalysisError, match="and 87 more") as caught:
        load_trials(path)
    assert len(str(caught.value)) < 800


def test_load_trials_not_a_parquet_is_one_line(tmp_path: Path):
    (tmp_path / "t.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(AnalysisError, match="must be a readable table"):
        load_trials(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["missing.csv", "missing"])
def test_load_trials_missing_source_is_refused(tmp_path: Path, name: str):
    with pytest.raises(AnalysisError, match="source must be an existing folder or file"):
        load_trials(tmp_path / name)


def test_load_trials_unknown_kind_is_refused(tmp_path: Path):
    (tmp_path / "t.xlsx").write_text("")
    with pytest.raises(
        AnalysisError, match=r"source must be a folder, a .json, .csv, .parquet or .journal"
    ):
        load_trials(tmp_path / "t.xlsx")


def test_load_trials_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(AnalysisError, match=r"source must hold trial_\*/result.json files"):
        load_trials(tmp_path)


def test_load_trials_empty_list_is_refused():
    with pytest.raises(AnalysisError, match="source must name at least one study"):
        load_trials([])


def test_trials_from_records_matches_the_same_records_from_disk(tmp_path: Path):
    records = [record(0), record(1, state="running", l0=None)]
    from_disk = load_trials(write_study(tmp_path / "study", records))
    pd.testing.assert_frame_equal(trials_from_records(records), from_disk)


def test_trials_from_records_missing_number_is_nan():
    table = trials_from_records([record(0, state="failed", l0=None)])
    assert np.isnan(table["l0"][0])


def test_load_trials_canonical_and_own_units_are_never_mixed(tmp_path: Path):
    study = write_study(tmp_path / "study", [record(0)])
    with pytest.raises(AnalysisError, match="alpha_canonical must be in every source or in none"):
        load_trials([study, MINILM])


def test_load_trials_own_units_survive_a_merge_and_a_file(tmp_path: Path):
    table = load_trials(MINILM)
    corpus = pd.DataFrame({"latent_dim": [512, 1024, 2048, 4096], "corpus": "c4"})
    merged = table.merge(corpus.astype({"latent_dim": "Int64"}), on="latent_dim")
    merged.attrs = {}
    merged.to_csv(tmp_path / "merged.csv", index=False)

    assert units_of(merged) == "as_given"
    assert load_trials(tmp_path / "merged.csv").attrs["units"] == "as_given"


def test_units_of_rows_in_several_units_is_refused():
    table = load_trials(MINILM)
    table.loc[0, "alpha_units"] = None
    with pytest.raises(AnalysisError, match=r"alpha_units must be one of .* as_given, canonical"):
        units_of(table)


def test_load_trials_names_of_trials_are_kept_as_names(tmp_path: Path):
    path = write_csv(tmp_path / "t.csv", "trial,latent_dim,l1_alpha,l0\nrun-7,512,1,50\n")
    table = load_trials(path)
    assert table["trial_name"].tolist() == ["run-7"]
    assert table["trial"].isna().all()
    assert "trial_name" in table.attrs["notes"][0]


def test_load_trials_of_a_table_in_memory_is_as_of_its_file(data: Path):
    path = data / "l0_curves_minilm_layer3.csv"
    table = pd.read_csv(path, comment="#")
    shuffled_index = table.set_index(pd.Index([0] * len(table)))

    found, read = load_trials(shuffled_index), load_trials(path)

    pd.testing.assert_frame_equal(found, read)
    assert found.attrs["units"] == read.attrs["units"]
    assert found.attrs["notes"][0].startswith("the table has no alpha_canonical")


def test_load_trials_of_a_table_in_memory_leaves_it_as_it_was():
    table = pd.DataFrame({"latent_dim": [64], "l1_alpha": [1.0], "l0": [8.0]})
    load_trials(table)
    assert list(table.columns) == ["latent_dim", "l1_alpha", "l0"]


def test_load_trials_of_a_trial_table_keeps_what_was_known_of_it(minilm: pd.DataFrame):
    again = load_trials(minilm)
    pd.testing.assert_frame_equal(again, minilm)
    assert again.attrs == minilm.attrs


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["latent_dim", "l1_alpha", "l1"], "l0 must be a column of the table, but it has only"),
        (["latent_dim", "l0", "l0"], "columns of the table must differ, but 'l0' is there twice"),
    ],
)
def test_load_trials_of_a_table_that_is_none_of_trials_is_refused(columns: list[str], words: str):
    with pytest.raises(AnalysisError, match=words):
        load_trials(pd.DataFrame([[64, 1.0, 8.0]], columns=columns))


def test_load_trials_takes_files_and_tables_together(data: Path):
    path = data / "l0_curves_minilm_layer3.csv"
    table = pd.DataFrame({"latent_dim": [64], "l1_alpha": [1.0], "l0": [8.0]})
    assert len(load_trials([path, table])) == len(load_trials(path)) + 1


def test_load_trials_name_of_a_study_where_there_is_one_is_refused(data: Path):
    path = data / "l0_curves_minilm_layer3.csv"
    with pytest.raises(AnalysisError, match=r"study_name must be left out for .*csv, which is"):
        load_trials(path, study_name="x")


def test_load_trials_name_of_the_studys_folder_is_taken(tmp_path: Path):
    folder = tmp_path / "demo" / "trial_00000"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text('{"state": "failed", "trial": 0}')
    assert len(load_trials(tmp_path / "demo", study_name="demo")) == 1
