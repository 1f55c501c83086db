from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sweeper.app import CONFIG_FOLDER
from sweeper.composing import RepeatedComposing
from sweeper.settings import register_schema


@contextmanager
def hydra_at(overrides: list[str]) -> Generator[tuple[ConfigLoader, DictConfig]]:
    """Hydra's own loader, and the configuration of a sweep."""
    register_schema()
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.compose_config("config", overrides, RunMode.MULTIRUN)
        yield hydra.config_loader, master


FIRST = ["seed=1", "sae=gated", "l1_alpha=2.5", "hydra.sweep.subdir=trial_00001"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=2", "sae=gated", "l1_alpha=0.3", "hydra.sweep.subdir=trial_00002"],
        ["sae=topk", "trainer.total_steps=40", "hydra.sweep.dir='/a folder/b=c'"],
        ["l1_alpha=3.0", "trainer=default", "sae.latent_dim=77", "sae=jumprelu"],
        ["+hydra.job.env_set.A=b", "sweep.budgets=[0.125,1]", "activations.layer=5"],
        ["activations=synthetic", "activations.synthetic={d_in: 16}", "++seed=4"],
        ["+hydra.job.env_set.A=b", "~hydra.job.env_set.A", "seed=2"],
        ["++hydra.job.env_copy=[HOME]", "seed=2"],
        [],
    ],
)
def test_load_sweep_config_after_another_job_is_what_hydra_composes(overrides: list[str]):
    with hydra_at(["sweep=law", "hydra.sweep.dir=multirun/x"]) as (loader, master):
        repeated = RepeatedComposing(loader)
        repeated.load_sweep_config(master, FIRST)
        for _ in range(2):
            ours = repeated.load_sweep_config(master, overrides)
            theirs = loader.load_sweep_config(master, overrides)
            assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)
            assert OmegaConf.is_struct(ours)


@pytest.fixture
def extra_group(tmp_path: Path) -> str:
    """The override that finds a group `extra`."""
    (tmp_path / "extra").mkdir()
    for name, seed in {"a": 7, "b": 8}.items():
        (tmp_path / "extra" / f"{name}.yaml").write_text(f"# @package _global_\nseed: {seed}\n")
    return f"hydra.searchpath=[file://{tmp_path}]"


@pytest.mark.parametrize(
    "overrides",
    [["+extra=a"], ["+extra=b", "trainer.total_steps=40"], ["seed=3", "sae=topk"], []],
)
def test_load_sweep_config_with_a_search_path_is_what_hydra_composes(
    extra_group: str, overrides: list[str]
):
    with hydra_at([extra_group]) as (loader, master):
        repeated = RepeatedComposing(loader)
        repeated.load_sweep_config(master, ["+extra=a", "l1_alpha=2"])
        ours = repeated.load_sweep_config(master, overrides)
        theirs = loader.load_sweep_config(master, overrides)
        assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)


def test_load_sweep_config_of_a_job_with_a_search_path_knows_its_groups(extra_group: str):
    with hydra_at([]) as (loader, master):
        repeated = RepeatedComposing(loader)
        repeated.load_sweep_config(master, FIRST)
        assert repeated.load_sweep_config(master, [extra_group, "+extra=b"]).seed == 8


def test_load_sweep_config_with_a_search_path_reads_the_files_of_a_group_once(
    extra_group: str, tmp_path: Path
):
    with hydra_at([extra_group]) as (loader, master):
        repeated = RepeatedComposing(loader)
        repeated.load_sweep_config(master, ["+extra=a", "l1_alpha=2"])
        (tmp_path / "extra" / "a.yaml").unlink()
        assert repeated.load_sweep_config(master, ["+extra=a", "l1_alpha=3"]).seed == 7


def test_load_sweep_config_of_changed_copies_leaves_the_next_one_as_it_was():
    with hydra_at([]) as (loader, master):
        repeated = RepeatedComposing(loader)
        repeated.load_sweep_config(master, FIRST).trainer.total_steps = 7
        again = repeated.load_sweep_config(master, FIRST)
        assert again.trainer.total_steps != 7


@pytest.mark.parametrize(
    "wrong",
    ["sae=nothing", "trainer.stepz=4", "seed=1,2", "sae@here=gated", "~nowhere", "~seed=77"],
)
def test_load_sweep_config_of_bad_overrides_fails_as_hydra_does(wrong: str):
    with hydra_at([]) as (loader, master):
        repeated = RepeatedComposing(loader)
        repeated.load_sweep_config(master, FIRST)
        with pytest.raises(HydraException) as theirs:
            loader.load_sweep_config(master, [wrong])
        with pytest.raises(HydraException) as ours:
            repeated.load_sweep_config(master, [wrong])
        assert str(ours.value) == str(theirs.value)


def test_getstate_after_composing_leaves_what_was_composed_behind():
    with hydra_at([]) as (loader, master):
        repeated = RepeatedComposing(loader)
        before = repeated.__getstate__().keys()
        repeated.load_sweep_config(master, FIRST)
        state = repeated.__getstate__()
        assert state["_composed"] == {}
        assert state.keys() == before
