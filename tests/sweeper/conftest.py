import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from sweeper.app import CONFIG_FOLDER
from sweeper.settings import Settings, register_schema, to_settings

Compose = Callable[..., Settings]
Command = Callable[..., subprocess.CompletedProcess[str]]

QUICK = (
    "activations=synthetic",
    "activations.synthetic.d_in=16",
    "activations.synthetic.n_features=64",
    "activations.synthetic.active_features=4",
    "activations.synthetic.n_tokens=4000",
    "activations.synthetic.held_out_tokens=1000",
    "sae.latent_dim=64",
    "trainer.batch_size=64",
    "trainer.total_steps=150",
    "target_l0=6",
)
"""A configuration that trains in about a second."""


@pytest.fixture
def settings_of() -> Compose:
    register_schema()

    def composed(*overrides: str) -> Settings:
        with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
            return to_settings(compose("config", list(overrides)))

    return composed


@pytest.fixture
def quick() -> tuple[str, ...]:
    return QUICK


@pytest.fixture
def sae_sweep(tmp_path: Path) -> Command:
    """Runs the real command in a folder of its own."""

    def run(
        *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(arguments),
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}),
        )

    return run


def command_line(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "sweeper", *arguments]
