"""Where a user is told that a warm-up is cut short."""

from collections.abc import Callable

import pytest

App = Callable[..., int]
SHORT = ("trainer.total_steps=30", "trainer.alpha_warmup=20", "l1_alpha=2")
LINE = "trainer.alpha_warmup takes 10 steps in place of 20"


@pytest.mark.parametrize("arguments", [("hydra.run.dir=run",), ("--multirun",)], ids=" ".join)
def test_app_whose_warmup_is_cut_says_so_before_it_trains(
    app: App, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*arguments, *SHORT) == 0
    assert LINE in capsys.readouterr().out
