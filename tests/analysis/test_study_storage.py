import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from analysis.errors import AnalysisError
from analysis.records import empty_record
from analysis.trials import load_trials
from sweeper.trial_book import LINK_ATTR, NUMBER_ATTR, RECORD_ATTR, SEED_ATTR

optuna.logging.set_verbosity(optuna.logging.ERROR)


def record(number: int) -> dict[str, Any]:
    return empty_record() | {
        "trial": number,
        "state": "complete",
        "latent_dim": 512,
        "l1_alpha": 1.0 + number,
        "alpha_canonical": 1.0 + number,
        "l0": 40.0 - number,
    }


def told(number: int, **more: Any) -> optuna.trial.FrozenTrial:
    return create_trial(
        value=0.1, user_attrs={NUMBER_ATTR: number, RECORD_ATTR: record(number), **more}
    )


def fill(storage: optuna.storages.BaseStorage, sweep: str = "demo") -> None:
    """Two cells that share their trials, one trial running, one from another sampler."""
    cells = [
        optuna.create_study(storage=storage, study_name=f"{sweep}/latent_dim=512,target_l0={t}")
        for t in (16, 32)
    ]
    cells[0].add_trial(told(1))
    cells[1].add_trial(create_trial(value=0.2, user_attrs={LINK_ATTR: 1, RECORD_ATTR: record(1)}))
    cells[1].add_trial(told(0))
    running = cells[1].ask()
    running.set_user_attr(NUMBER_ATTR, 2)
    running.set_user_attr(SEED_ATTR, 7)
    cells[1].add_trial(create_trial(state=TrialState.PRUNED))


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('db') / 'study.db'}"
    fill(optuna.storages.RDBStorage(url))
    return url


@pytest.fixture(name="journal")
def fixture_journal(tmp_path: Path) -> Path:
    path = tmp_path / "study.journal"
    fill(JournalStorage(JournalFileBackend(str(path))))
    return path


def test_load_trials_sqlite_has_every_trial_once_by_number(sqlite: str):
    table = load_trials(sqlite)
    assert table["trial"].tolist() == [0, 1, 2]
    assert table["l0"].tolist()[:2] == [40.0, 39.0]
    assert table.attrs["units"] == "canonical"


def test_load_trials_running_trial_has_what_is_known(sqlite: str):
    running = load_trials(sqlite).iloc[2]
    assert (running["state"], running["seed"]) == ("running", 7)
    assert running["cell"] == "latent_dim=512,target_l0=32"


def test_load_trials_trial_without_record_is_counted_among_the_problems(sqlite: str):
    problems = load_trials(sqlite).attrs["problems"]
    assert [each["reason"] for each in problems] == ["1 trials without a record"]


def test_load_trials_journal_says_the_same_as_the_database(sqlite: str, journal: Path):
    columns = ["trial", "state", "l0"]
    assert load_trials(journal)[columns].equals(load_trials(sqlite)[columns])


def test_load_trials_folder_without_results_reads_its_journal(journal: Path):
    assert len(load_trials(journal.parent)) == 3


@pytest.mark.parametrize("line", ["[]", '{"op_code": 99}'])
def test_load_trials_journal_with_a_foreign_line_is_one_line(journal: Path, line: str):
    with journal.open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(AnalysisError, match="source must be a storage that answers"):
        load_trials(journal)


def test_load_trials_storage_of_two_sweeps_asks_which(journal: Path):
    fill(JournalStorage(JournalFileBackend(str(journal))), "other")
    with pytest.raises(AnalysisError, match=r"study_name must name one of .* demo, other"):
        load_trials(journal)
    assert len(load_trials(journal, study_name="other")) == 3


def test_load_trials_unknown_sweep_names_those_there_are(sqlite: str):
    with pytest.raises(AnalysisError, match=r"\(demo\), but got 'dmo'"):
        load_trials(sqlite, study_name="dmo")


def test_load_trials_server_that_does_not_answer_is_one_line_without_password():
    url = "postgresql+psycopg2://ana:s3cret@127.0.0.1:1/sweeps"
    with pytest.raises(AnalysisError, match=r"must be a storage that answers") as caught:
        load_trials(url)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.journal", None, "must be an existing journal file"),
        ("torn.journal", '{"op_code":0,', "must hold at least one study"),
    ],
)
def test_load_trials_bad_journal_is_refused(
    tmp_path: Path, name: str, content: str | None, said: str
):
    if content is not None:
        (tmp_path / name).write_text(content + "\n")
    with pytest.raises(AnalysisError, match=said):
        load_trials(tmp_path / name)


def test_load_trials_missing_database_is_refused_and_not_made(tmp_path: Path):
    with pytest.raises(AnalysisError, match="must be an existing database"):
        load_trials(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


def test_load_trials_of_another_optuna_s_tables_says_what_helps(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/study.db"
    fill(optuna.storages.RDBStorage(url))
    with closing(sqlite3.connect(tmp_path / "study.db")) as database, database:
        database.execute("update alembic_version set version_num = 'v2.6.0.a'")
    with pytest.raises(AnalysisError, match="optuna storage upgrade --storage") as caught:
        load_trials(url)
    assert "\n" not in str(caught.value)


def test_load_trials_file_that_is_no_database_is_refused(tmp_path: Path):
    path = tmp_path / "text.db"
    path.write_text("nothing of the kind, and long enough to be looked at" * 20)
    with pytest.raises(AnalysisError, match="must be a storage that answers"):
        load_trials(f"sqlite:///{path}")


def test_load_trials_of_a_table_never_imports_optuna(data: Path):
    table = str(data / "l0_curves_minilm_layer3.csv")
    program = (
        f"import analysis, sys; analysis.load_trials({table!r}); print('optuna' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
