import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from sweeper.app import CONFIG_FOLDER, main
from sweeper.settings import Settings, register_schema, to_settings

App = Callable[..., int]
Compose = Callable[..., Settings]
Start = Callable[..., subprocess.Popen[str]]
WaitFor = Callable[..., None]

QUICK = (
    "activations=synthetic",
    "activations.synthetic.d_in=16",
    "activations.synthetic.n_features=32",
    "activations.synthetic.active_features=2",
    "activations.synthetic.n_tokens=4000",
    "activations.synthetic.held_out_tokens=1000",
    "sae.latent_dim=64",
    "trainer.batch_size=128",
    "trainer.learning_rate=5e-3",
    "trainer.total_steps=150",
    "target_l0=6",
    "sweep.report=false",
)
"""A configuration that trains in about a second, and draws nothing."""


@pytest.fixture
def settings_of() -> Compose:
    register_schema()

    def composed(*overrides: str) -> Settings:
        with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
            return to_settings(compose("config", list(overrides)))

    return composed


@pytest.fixture
def quick_settings(settings_of: Compose) -> Compose:
    """The quick configuration at a fixed alpha, with further overrides."""
    return lambda *overrides: settings_of(
        *QUICK, "trainer.total_steps=60", "l1_alpha=3", *overrides
    )


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> App:
    """The command in this process, in an empty folder; answers with its exit status."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        GlobalHydra.instance().clear()
        flags = [argument for argument in arguments if argument.startswith("--")]
        rest = [argument for argument in arguments if not argument.startswith("--")]
        monkeypatch.setattr(sys, "argv", ["sae-sweep", *flags, *QUICK, *rest])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return run


@pytest.fixture
def start_command(start_python: Start) -> Start:
    """Starts the command as a process of its own; what still runs at the end is killed."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        flags = [argument for argument in arguments if argument.startswith("--")]
        rest = [argument for argument in arguments if not argument.startswith("--")]
        return start_python("-m", "sweeper", *flags, *QUICK, *rest)

    return start


@pytest.fixture
def wait_for() -> WaitFor:
    """Waits until a condition holds, while the processes that shall bring it about live."""

    def wait(condition: Callable[[], bool], *processes: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            for process in processes:
                assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the command did not come so far in two minutes"
            time.sleep(0.05)

    return wait
