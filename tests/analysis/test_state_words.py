import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.records import State
from analysis.trials import load_trials


def states_of(folder: Path, words: list[str], name: str = "state") -> list[str]:
    rows = [f"{word},512,{alpha},{100 / alpha}" for alpha, word in enumerate(words, start=1)]
    path = folder / "t.csv"
    path.write_text("\n".join([f"{name},latent_dim,l1_alpha,l0", *rows]))
    return load_trials(path)["state"].fillna("").tolist()


def test_load_trials_states_of_wandb_are_the_records(tmp_path: Path):
    words = ["finished", "crashed", "killed", "failed", "running"]
    assert states_of(tmp_path, words, "State") == [
        "complete", "failed", "failed", "failed", "running",
    ]  # fmt: skip


def test_load_trials_states_of_optuna_are_the_records(tmp_path: Path):
    words = ["COMPLETE", "FAIL", "PRUNED", "RUNNING"]
    assert states_of(tmp_path, words) == ["complete", "failed", "pruned", "running"]


def test_load_trials_states_of_the_record_are_kept(tmp_path: Path):
    assert states_of(tmp_path, list(State)) == list(State)


def test_load_trials_state_that_is_missing_stays_so(tmp_path: Path):
    assert states_of(tmp_path, ["finished", ""]) == ["complete", ""]


def test_load_trials_state_beside_another_spelling_is_the_records(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("State,state,latent_dim,l1_alpha,l0\nTexas,pruned,512,1,100\n")
    assert load_trials(path)["state"].tolist() == ["pruned"]


def test_load_trials_states_of_parquet_are_the_records(tmp_path: Path):
    table = {"State": ["finished", None], "latent_dim": 512, "l1_alpha": [1.0, 2.0], "l0": 9.0}
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet")
    assert load_trials(tmp_path / "t.parquet")["state"].fillna("").tolist() == ["complete", ""]


def test_load_trials_unknown_state_is_refused_with_the_known_ones(tmp_path: Path):
    path = re.escape(str(tmp_path / "t.csv"))
    with pytest.raises(
        AnalysisError,
        match=f"State must be one of complete, .*finished, .* in .*{path}, but got 'ok'",
    ):
        states_of(tmp_path, ["finished", "ok"], "State")
