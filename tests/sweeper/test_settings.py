from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from sweeper.app import CONFIG_FOLDER
from sweeper.errors import SweepError
from sweeper.settings import Settings, register_schema, to_settings


def composed(*overrides: str) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        return compose("config", list(overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("sae=jumprelu", "objective=saelens", "trainer.batch_size=32", "target_l0=0.05"),
        ("activations=stream", "sweep.budgets=[0.125,1]", "+sweep.sampler_options.n_ei=3"),
        ("trainer={batch_size: 32, dead_latents: {auxk_coefficient: 0.5}}",),
    ],
)
def test_to_settings_composed_equals_those_of_its_file(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    config = composed(*overrides)
    OmegaConf.save(config, tmp_path / "config.yaml")
    read = OmegaConf.load(tmp_path / "config.yaml")
    assert isinstance(read, DictConfig)
    assert to_settings(config) == to_settings(read)


def test_to_settings_file_without_a_group_has_its_defaults() -> None:
    read = OmegaConf.create({"trainer": {"batch_size": 32}})
    assert to_settings(read).sae == Settings().sae


def test_to_settings_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(SweepError, match=r"trainer\.batch_sise must be a known key"):
        to_settings(composed("+trainer.batch_sise=3"))


@pytest.mark.parametrize(("architecture", "count"), [("topk", 6), ("batchtopk", 6.4)])
def test_target_l0_count_topk_fraction_is_the_k_that_it_rounds_to(
    architecture: str, count: float
) -> None:
    """A k of 6 would miss 6.4 by more than the band's 5 %."""
    config = composed(f"sae={architecture}", "sae.latent_dim=64", "target_l0=0.1")
    settings = to_settings(config)
    assert settings.target_l0_count == pytest.approx(count)
