from pathlib import Path

import optuna
import pytest

from sweeper.errors import SweepError
from sweeper.storage import open_storage, redacted


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
