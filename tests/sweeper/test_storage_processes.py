"""Every kind of storage under eight processes; `python -m benchmarks.storages` at full size."""

from contextlib import ExitStack
from pathlib import Path

import optuna
import pytest

from benchmarks.storages import (
    KINDS,
    PROCESSES,
    Outcome,
    label,
    main,
    storage_of_kind,
    write_together,
)
from sweeper.storage import storage_for


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Every kind of storage, written to by the same eight processes."""
    folder = tmp_path_factory.mktemp("storages")
    with ExitStack() as stack:
        urls = {kind: stack.enter_context(storage_of_kind(kind, folder)) for kind in KINDS}
        return write_together(urls, folder, PROCESSES, trials=4)


@pytest.mark.parametrize("kind", KINDS)
def test_storage_eight_processes_lose_and_double_no_trial(
    outcomes: dict[str, Outcome], kind: str
) -> None:
    assert outcomes[kind].is_good, outcomes[kind]


def test_write_together_deletes_its_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    write_together({"sqlite": url}, tmp_path, 1, trials=1)
    with storage_for(url, tmp_path) as storage:
        assert optuna.get_all_study_names(storage) == []


@pytest.mark.parametrize("wrong", ["lost", "doubled", "mixed_up"])
def test_outcome_with_one_wrong_trial_is_bad(wrong: str) -> None:
    counts = {"lost": 0, "doubled": 0, "mixed_up": 0} | {wrong: 1}
    assert not Outcome(**counts, seconds=1.0).is_good


def test_label_of_a_url_shows_no_password() -> None:
    assert label("mysql://me:secret@host/db") == "mysql://me:***@host/db"


def test_main_takes_a_database_of_the_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/own.db"
    assert main(["--kinds", "--url", url, "--processes", "2", "--trials", "2"]) == 0
    assert f"| {url} | 2         | 2           | 0" in capsys.readouterr().out
