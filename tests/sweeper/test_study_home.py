import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import optuna
import pytest
from optuna.storages import BaseStorage

from sweeper.errors import SweepError
from sweeper.storage import open_storage
from sweeper.study_folder import FOLDER_ID, read_definition, settle_definition
from sweeper.study_home import StudyHome, settle_home

App = Callable[..., int]


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path)


def home(folder: Path, folder_id: str) -> StudyHome:
    folder.mkdir(parents=True, exist_ok=True)
    return StudyHome.of(folder, folder_id)


def test_study_in_another_folder_is_refused_and_in_its_own_goes_on_wherever_that_is(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = ("--multirun", f"sweep.storage='sqlite:///{tmp_path}/study.db'", "sweep.study_name=s")
    asked = (*study, "l1_alpha=2", "trainer.total_steps=3")
    assert app(*asked, "hydra.sweep.dir=here") == 0
    assert app(*asked, "hydra.sweep.dir=there") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"hydra.sweep.dir must be {tmp_path}/here" in line
    assert f"but got {tmp_path}/there" in line
    (tmp_path / "here").rename(tmp_path / "moved")
    assert app(*asked, "hydra.sweep.dir=moved") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_settle_home_of_commands_that_start_together_one_has_the_study(
    storage: BaseStorage, tmp_path: Path
) -> None:
    together = Barrier(3)
    homes = [home(tmp_path / name / "s", name) for name in "abc"]

    def settle(own: StudyHome) -> bool:
        together.wait()
        try:
            settle_home(storage, "s", ["x", "y"], own)
        except SweepError:
            return False
        return True

    with ThreadPoolExecutor(3) as commands:
        assert sum(commands.map(settle, homes)) == 1


def test_settle_home_other_cells_of_the_study_belong_to_its_folder_too(
    storage: BaseStorage, tmp_path: Path
) -> None:
    settle_home(storage, "s", ["x"], home(tmp_path / "a" / "s", "a"))
    other = home(tmp_path / "b" / "s", "b")
    with pytest.raises(SweepError, match=r"another sweep\.study_name"):
        settle_home(storage, "s", ["y"], other)
    settle_home(storage, "s2", ["y"], other)


def test_settle_home_of_a_deleted_folder_is_free_on_its_machine_alone(
    storage: BaseStorage, tmp_path: Path
) -> None:
    here = home(tmp_path / "b" / "s", "b")
    gone = home(tmp_path / "a" / "s", "a")
    settle_home(storage, "s", ["x"], gone)
    Path(gone.path).rmdir()
    with pytest.raises(SweepError):
        settle_home(storage, "s", ["x"], replace(here, host="elsewhere"))
    settle_home(storage, "s", ["x"], here)


def defined_home(path: Path) -> StudyHome:
    """That of a folder with the `study.json` of a study."""
    made = home(path, "")
    settle_definition(path, {"cells": {}, "axes": []})
    return replace(made, id=read_definition(path)[FOLDER_ID])


def test_settle_home_copy_of_the_folder_is_refused_while_the_first_is_there(
    storage: BaseStorage, tmp_path: Path
) -> None:
    first = defined_home(tmp_path / "a" / "s")
    settle_home(storage, "s", ["x"], first)
    shutil.copytree(first.path, tmp_path / "b" / "s")
    copy = home(tmp_path / "b" / "s", first.id)
    with pytest.raises(SweepError, match=f"must be {tmp_path}/a .* but got {tmp_path}/b;"):
        settle_home(storage, "s", ["x"], copy)
    settle_home(storage, "s", ["x"], first)
    shutil.rmtree(first.path)
    settle_home(storage, "s", ["x"], copy)


def test_settle_home_same_folder_by_another_path_goes_on(
    storage: BaseStorage, tmp_path: Path
) -> None:
    first = defined_home(tmp_path / "a" / "s")
    settle_home(storage, "s", ["x"], first)
    (tmp_path / "mount").symlink_to(tmp_path / "a")
    settle_home(storage, "s", ["x"], replace(first, path=f"{tmp_path}/mount/s"))


def test_settle_home_study_of_before_there_were_homes_gets_one(
    storage: BaseStorage, tmp_path: Path
) -> None:
    study = optuna.create_study(storage=storage, study_name="s/x")
    study.ask()
    settle_home(storage, "s", ["x"], home(tmp_path / "a" / "s", "a"))
    with pytest.raises(SweepError):
        settle_home(storage, "s", ["x"], home(tmp_path / "b" / "s", "b"))
