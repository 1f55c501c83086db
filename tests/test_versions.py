from importlib.metadata import version

import pytest

from analysis.__main__ import main as analysis_main
from sae.activations.__main__ import main as activations_main
from sweeper.__main__ import main as sweep_main

MAINS = {
    "sae-analysis": analysis_main,
    "sae-activations": activations_main,
    "sae-sweep": sweep_main,
}


@pytest.mark.parametrize("program", MAINS)
def test_main_version_names_program_and_release(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [program, "--version"])

    assert not MAINS[program]()

    assert capsys.readouterr().out.startswith(f"{program} {version('sae-sweep')}")
