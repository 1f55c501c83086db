from collections.abc import Callable
from pathlib import Path

import cloudpickle
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from sweeper.app import CONFIG_FOLDER
from sweeper.concealment import conceal_storage, without_storage
from sweeper.errors import SweepError
from sweeper.settings import register_schema

App = Callable[..., int]
WORD = "HUNTER2"
"""Part of a URL that SQLite takes, and passes over."""


def url(folder: Path) -> str:
    return f"'sqlite:///file:{folder}/study.db?uri=true&word={WORD}'"


def files_with_the_word(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and WORD.encode() in p.read_bytes()]


@pytest.mark.parametrize("key", ["sweep.storage", "++sweep.storage"])
def test_sweep_storage_on_the_command_line_is_nowhere_written_or_shown(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    status = app("--multirun", f"{key}={url(tmp_path)}", "l1_alpha=2", "sweep.n_trials=1")
    assert status in (0, 1)
    assert (tmp_path / "study.db").exists()
    assert not files_with_the_word(tmp_path)
    assert WORD not in "".join(capsys.readouterr())


def test_sweep_storage_of_a_config_group_is_nowhere_written(app: App, tmp_path: Path) -> None:
    own = tmp_path / "own" / "sweep" / "pg.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"storage: {url(tmp_path)}\nn_trials: 1\n")
    asked = ("--multirun", f"--config-dir={own.parent.parent}", "sweep=pg", "l1_alpha=2")
    assert app(*asked) in (0, 1)
    assert (tmp_path / "study.db").exists()
    assert files_with_the_word(tmp_path) == [own]


@pytest.mark.parametrize(("seed", "status"), [("0", 0), ("-1", 2)])
def test_single_run_storage_is_nowhere_written(
    app: App, tmp_path: Path, seed: str, status: int
) -> None:
    asked = (f"sweep.storage={url(tmp_path)}", "l1_alpha=2", "trainer.total_steps=3")
    assert app(*asked, f"seed={seed}", "hydra.run.dir=run") == status
    assert "sae.latent_dim=64" in (tmp_path / "run" / ".hydra" / "overrides.yaml").read_text()
    assert "latent_dim: 64" in (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    assert not files_with_the_word(tmp_path)


def test_conceal_storage_leaves_nothing_for_a_launcher_to_pickle(tmp_path: Path) -> None:
    register_schema()
    keys = ("sweep.storage", "++sweep.storage", "hydra.sweeper.storage")
    overrides = ["seed=3", *(f"{key}={url(tmp_path)}" for key in keys)]
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config("config", overrides, RunMode.MULTIRUN)
    assert WORD.encode() in cloudpickle.dumps(config)
    conceal_storage(config)
    assert WORD.encode() not in cloudpickle.dumps(config)
    assert config.hydra.overrides.task == ["seed=3"]
    assert config.hydra.job.override_dirname == "seed=3"


def test_without_storage_jobs_are_told_that_there_is_none() -> None:
    asked = ["sweep.storage=sqlite:///x.db", "sweep.tolerance=0.1", "sweep=law"]
    assert without_storage(asked) == ["sweep.tolerance=0.1", "sweep=law", "sweep.storage=null"]


def test_without_storage_in_a_table_is_refused_and_not_shown() -> None:
    with pytest.raises(SweepError, match=r"sweep\.storage must be given by itself") as caught:
        without_storage([f"+sweep={{storage: 'pg://me:{WORD}@host/db'}}"])
    assert WORD not in str(caught.value)
