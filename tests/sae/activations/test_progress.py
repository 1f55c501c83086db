import io

import pytest

from sae.activations.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_line_on_a_terminal_says_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with ProgressLine(2000, "tokens") as progress:
        progress.advance(500)
        progress.advance(1000)
    assert "500 of 2,000 tokens" in terminal.getvalue()
    assert "1,500 of 2,000 tokens" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\033[K")  # the line is gone at the end


def test_progress_line_elsewhere_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(2000, "tokens") as progress:
        progress.advance(500)
    assert capsys.readouterr() == ("", "")
