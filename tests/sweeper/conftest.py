import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import cache, partial
from io import StringIO
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from sweeper.app import CONFIG_FOLDER, main
from sweeper.settings import Settings, register_schema, to_settings

App = Callable[..., int]
Compose = Callable[..., Settings]
Start = Callable[..., subprocess.Popen[str]]
SweepOnce = Callable[..., tuple[Path, str]]
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
    return partial(run_command, monkeypatch)


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command in this process and its folder; answers with its exit status."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["sae-sweep", *flags_first(arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def flags_first(arguments: Sequence[str]) -> list[str]:
    """With the quick configuration before what overrides it, but for another source's keys."""
    flags = [argument for argument in arguments if argument.startswith("--")]
    rest = [argument for argument in arguments if not argument.startswith("--")]
    has_source = any(argument.startswith("activations=") for argument in rest)
    quick = [key for key in QUICK if not (has_source and key.startswith("activations"))]
    return [*flags, *quick, *rest]


@pytest.fixture(scope="session")
def sweep_once(tmp_path_factory: pytest.TempPathFactory) -> SweepOnce:
    """Runs a study `s` once for all tests that only begin with it."""

    @cache
    def swept(*arguments: str) -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp("swept")
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
            patch.chdir(folder)
            assert run_command(patch, "--multirun", "sweep.study_name=s", *arguments) == 0
        return folder, output.getvalue()

    return swept


@pytest.fixture
def landed(sweep_once: SweepOnce, tmp_path: Path) -> Callable[..., str]:
    """Puts a study `s` that reached its goal into the test's folder; answers with the output."""

    def put(*arguments: str) -> str:
        folder, output = sweep_once(*arguments)
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        return output

    return put


@pytest.fixture
def start_command(start_python: Start) -> Start:
    """Starts the command as a process of its own; what still runs at the end is killed."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return start_python("-m", "sweeper", *flags_first(arguments))

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
