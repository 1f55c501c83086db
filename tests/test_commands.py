import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import ModuleType

import pytest

COMMANDS = {
    "sweeper.__main__": "sweeper.app",
    "analysis.__main__": "analysis.cli",
    "sae.activations.__main__": "sae.activations.cli",
}
"""Each command with what takes its time to import."""


class InterruptedImport:
    """Ctrl-C, once a module is imported."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> None:
        if name == self._name:
            raise KeyboardInterrupt


def status_of(command: Callable[[], int | None]) -> int | None:
    try:
        return command()
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize(("command", "slow"), COMMANDS.items())
def test_command_interrupted_while_it_loads_ends_in_one_line_and_status_130(
    command: str,
    slow: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(sys.modules, slow, raising=False)
    monkeypatch.setattr(sys, "meta_path", [InterruptedImport(slow), *sys.meta_path])
    assert status_of(importlib.import_module(command).main) == 130
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("interrupted.")


def test_sae_sweep_asked_for_its_version_says_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sae-sweep", "--version"])
    importlib.import_module("sweeper.__main__").main()
    own, hydra = version("sae-sweep"), version("hydra-core")
    assert capsys.readouterr().out == f"sae-sweep {own}, Hydra {hydra}\n"


def test_command_before_it_can_be_interrupted_loads_nothing_slow() -> None:
    program = f"""
import sys, {", ".join(COMMANDS)}
print(sorted({{"torch", "numpy", "hydra", "typer"}} & set(sys.modules)))
"""
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
