import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper.app import main

URL = "sweep.storage='postgresql://u:HUNTER2@nohost:1/db?sslpassword=HUNTER2'"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty folder; what `--info` does to logging is undone."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def status_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command with its arguments in this order."""
    monkeypatch.setattr(sys, "argv", ["sae-sweep", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--cfg", "job", URL),
        (URL, "--cfg=all", "seed=1"),
        ("--info", "all", URL),
        (URL, "--info"),
        ("--help", URL),
        ("--cfg", "job", "--config-dir=own", "sweep=pg"),
    ],
)
def test_app_what_shows_a_configuration_shows_no_password(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    (tmp_path / "own" / "sweep").mkdir(parents=True)
    (tmp_path / "own" / "sweep" / "pg.yaml").write_text("storage: pg://u:HUNTER2@nohost/db\n")
    assert status_of(monkeypatch, *arguments) == 0
    shown = "".join(capsys.readouterr())
    assert "latent_dim" in shown
    assert "HUNTER2" not in shown
    assert URL not in arguments or "postgresql://u:***@nohost:1/db" in shown


def test_app_flags_between_and_after_overrides_are_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("sae.latent_dim=32", "--cfg", "job", "seed=7", "--package", "sae", "target_l0=6")
    assert status_of(monkeypatch, *asked) == 0
    assert "latent_dim: 32" in capsys.readouterr().out


def test_app_multirun_between_overrides_leaves_the_next_one_an_override(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("sae.latent_dim=64", "--multirun", "sweep.study_name=a/b", "target_l0=6")
    assert status_of(monkeypatch, *asked) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "sweep.study_name" in line


def test_app_unknown_flag_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, "seed=1", "--nosuch", "target_l0=6") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "must be Hydra's flags" in line
    assert "--nosuch" in line


def test_app_two_flags_that_say_what_to_do_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, "--cfg", "job", "--multirun", "target_l0=6") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "but got --multirun and --cfg, of which a command has one" in line


def test_app_help_names_the_command_with_examples_and_the_docs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, "--help") == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith("sae-sweep: ")
    assert sum(line.strip().startswith("sae-sweep ") for line in lines[-8:]) == 2
    assert any("docs/" in line for line in lines[-8:])
