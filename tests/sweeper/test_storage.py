import io
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import make_url

from sweeper.database import redacted, upgrade_command
from sweeper.errors import SweepError
from sweeper.patience import patiently
from sweeper.storage import open_storage

App = Callable[..., int]


def test_redacted_password_is_not_shown() -> None:
    shown = redacted("postgresql://me:secret@host:5432/db")
    assert "secret" not in shown
    assert "me" in shown
    assert "host" in shown


def test_redacted_unreadable_url_shows_nothing_of_it() -> None:
    assert "secret" not in redacted("no url with secret")


@pytest.mark.parametrize("url", [None, "sqlite"])
def test_open_storage_study_is_there_when_opened_again(tmp_path: Path, url: str | None) -> None:
    where = None if url is None else f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=open_storage(where, tmp_path), study_name="s/a")
    again = open_storage(where, tmp_path)
    assert [study.study_name for study in again.get_all_studies()] == ["s/a"]


def test_open_storage_unreachable_database_is_one_line_without_password(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        open_storage(f"sqlite:////{tmp_path}/missing/folder/secret.db", tmp_path)
    assert "sweep.storage must be a database that answers" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_open_storage_unreachable_server_is_asked_again_and_then_named_without_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sweeper.patience.PATIENCE", 0.1)
    monkeypatch.setattr("sweeper.patience.PAUSE", 0.01)
    with pytest.raises(SweepError) as caught:
        open_storage("postgresql://me:secret@127.0.0.1:1/db", tmp_path)
    line = str(caught.value)
    assert "but got postgresql://me:***@127.0.0.1:1/db" in line
    assert "secret" not in line
    assert "asking again" in capsys.readouterr().err


def test_open_storage_unreachable_proxy_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeper.patience.PATIENCE", 0.1)
    with pytest.raises(SweepError, match=r"grpc://127\.0\.0\.1:1"):
        open_storage("grpc://127.0.0.1:1", tmp_path)


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("v2.6.0.a", "an older version; optuna storage upgrade --storage sqlite:///{file} brings"),
        ("v99.0.0.a", "a newer version; pip install -U optuna brings"),
    ],
)
def test_open_storage_of_another_optuna_is_one_line_that_says_what_helps(
    tmp_path: Path, version: str, advice: str
) -> None:
    file = tmp_path / "study.db"
    url = f"sqlite:///{file}"
    optuna.create_study(storage=url)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("update alembic_version set version_num = ?", (version,))
    with pytest.raises(SweepError) as caught:
        open_storage(url, tmp_path)
    line = str(caught.value)
    assert f"sweep.storage must have the tables of Optuna {optuna.__version__}, but" in line
    assert f"but got {url} with those of {advice.format(file=file)}" in line
    assert "\n" not in line


def test_upgrade_command_has_the_driver_that_was_opened_and_no_password() -> None:
    command = upgrade_command(make_url("postgresql://me:secret@h/db"))
    assert command == "optuna storage upgrade --storage 'postgresql+psycopg://me:***@h/db'"


def test_open_storage_missing_driver_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(SweepError, match=r"pip install 'sae-sweep\[mysql\]'"):
        open_storage("mysql://me:secret@host/db", tmp_path)


def test_patiently_storage_that_comes_back_is_not_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sweeper.patience.PAUSE", 0.0)
    answers = iter([StorageInternalError("away"), StorageInternalError("away"), 7])

    def ask() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(ask)() == 7


class HoldingOutput(io.StringIO):
    """Standard output that, once it is told the given words, holds a database and answers nobody.

    Args:
        words: As they are written.
        database: Where other commands look.
    """

    def __init__(self, words: str, database: sqlite3.Connection) -> None:
        super().__init__()
        self._words, self._database = words, database

    def write(self, text: str) -> int:
        if self._words in text:
            self._database.execute("begin exclusive")
        return super().write(text)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("patience.PATIENCE", "patience.PAUSE", "database.LOCK_TIMEOUT"):
        monkeypatch.setattr(f"sweeper.{name}", 0.01)


SHORT = ("--multirun", "sweep.study_name=s", "l1_alpha=3", "trainer.total_steps=3")
STORED = (*SHORT, "sweep.storage=sqlite:///study.db")
LOST = "sweep.storage must answer while the study runs, but sqlite:///study.db gave"


@pytest.mark.usefixtures("impatient")
def test_sweep_whose_storage_is_held_when_it_begins_is_one_line_and_goes_on_afterwards(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute("begin immediate")
        assert app(*STORED) == 2
    asked, lost = capsys.readouterr().err.splitlines()
    assert "asking again" in asked
    assert LOST in lost
    assert app(*STORED) == 0


@pytest.mark.usefixtures("impatient")
def test_sweep_whose_storage_is_held_when_it_ends_is_one_line_and_goes_on_afterwards(
    app: App,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app(*STORED) == 0
    with (
        closing(sqlite3.connect(tmp_path / "study.db")) as database,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", HoldingOutput("nothing to do", database))
        assert app(*STORED) == 2
    assert LOST in capsys.readouterr().err.splitlines()[-1]
    assert app(*STORED) == 0


def test_redacted_values_after_the_question_mark_are_not_shown() -> None:
    shown = redacted("postgresql://me@host/db?password=secret&host=/run/postgres")
    assert "secret" not in shown
    assert "host=%2Frun%2Fpostgres" in shown


def test_journal_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    held = "import sys, time; from pathlib import Path; from sweeper.journal import FlockLock;"
    held += "FlockLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    path = tmp_path / "study.journal.lock"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    started = time.monotonic()
    optuna.create_study(storage=open_storage(None, tmp_path))
    assert time.monotonic() - started < 20  # Optuna's own lock would wait for 30 s


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@h:port/db", "postgresql://me:sec@secret@h/db", "secret"]
)
def test_open_storage_unreadable_url_is_one_line_that_shows_nothing_of_it(
    tmp_path: Path, url: str
) -> None:
    assert redacted(url) == "a URL that cannot be read"
    with pytest.raises(SweepError, match=r"sweep\.storage must be a URL such as") as caught:
        open_storage(url, tmp_path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_open_storage_commands_that_start_together_on_a_fresh_database_all_open_it(
    tmp_path: Path,
) -> None:
    together = Barrier(4)

    def open_it(_: int) -> int:
        together.wait()
        return len(open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path).get_all_studies())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(open_it, range(4))) == [0] * 4


def test_open_storage_journal_with_a_torn_last_line_goes_on_without_it(tmp_path: Path) -> None:
    optuna.create_study(storage=open_storage(None, tmp_path), study_name="s/a")
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:-20])
    for name in ("s/b", "s/c"):
        optuna.create_study(storage=open_storage(None, tmp_path), study_name=name)
    studies = open_storage(None, tmp_path).get_all_studies()
    assert [study.study_name for study in studies] == ["s/a", "s/b", "s/c"]


def test_journal_after_an_append_that_failed_is_whole_for_the_next(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(None, tmp_path), study_name="s/a")
    with (tmp_path / "study.journal").open("ab") as full_disk:
        full_disk.write(b'{"op_code":4,"worker_id":"x')
    study.ask()
    again = optuna.load_study(study_name="s/a", storage=open_storage(None, tmp_path))
    assert len(again.trials) == 1


@pytest.mark.parametrize("blank", [b"\n", b" \r\n\n", b"\n\n\n{"])
def test_open_storage_journal_with_blank_lines_at_its_end_goes_on_without_them(
    tmp_path: Path, blank: bytes
) -> None:
    optuna.create_study(storage=open_storage(None, tmp_path), study_name="s/a")
    with (tmp_path / "study.journal").open("ab") as stream:
        stream.write(blank)
    optuna.create_study(storage=open_storage(None, tmp_path), study_name="s/b")
    studies = open_storage(None, tmp_path).get_all_studies()
    assert [study.study_name for study in studies] == ["s/a", "s/b"]


def test_journal_with_a_blank_line_added_meanwhile_is_whole_for_the_next(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(None, tmp_path), study_name="s/a")
    with (tmp_path / "study.journal").open("ab") as stream:
        stream.write(b"\n")
    study.ask()
    again = optuna.load_study(study_name="s/a", storage=open_storage(None, tmp_path))
    assert len(again.trials) == 1


@pytest.mark.parametrize("line", [b"garbage\n", b"\xff\xfe\n", b'{"op_code":4,\n', b"[]\n"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_open_storage_journal_with_a_line_that_is_none_names_it_and_writes_nothing(
    tmp_path: Path, line: bytes, position: int
) -> None:
    for name in ("s/a", "s/b"):
        optuna.create_study(storage=open_storage(None, tmp_path), study_name=name)
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:position], line, *lines[position:]]))
    before = journal.read_bytes()
    with pytest.raises(SweepError, match=r"study\.journal must be a journal of whole") as caught:
        open_storage(None, tmp_path)
    assert f"in line {position + 1}: " in str(caught.value)
    assert journal.read_bytes() == before


@pytest.mark.parametrize("line", ['{"op_code": 99}', "[]", "{}", "null", '{"op_code": 4}'])
def test_open_storage_journal_with_a_foreign_line_is_one_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "study.journal").write_text(f"{line}\n")
    with pytest.raises(SweepError, match=r"study\.journal must be a journal of whole lines"):
        open_storage(None, tmp_path)


def test_journal_of_one_torn_line_alone_is_empty(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_bytes(b"x" * 100_000)
    assert open_storage(None, tmp_path).get_all_studies() == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_open_storage_in_memory_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"sweep\.storage must be a file"):
        open_storage(url, tmp_path)
